"""NeuronConfig and LlamaInferenceConfig for a run on the CPU: nxdi cd3abf3 (SDK 2.28), models/config.py. What it refuses is in tests/python/fake."""
import torch


class NeuronConfig:
    KNOWN = {"on_cpu", "tp_degree", "torch_dtype", "batch_size", "seq_len", "max_context_length", "quantized", "quantized_checkpoints_path",
             "quantization_dtype", "quantization_type", "modules_to_not_convert"}

    def __init__(self, **options):
        """Lines 94-240; :605 logs an unknown option, here it is an error."""
        assert set(options) <= self.KNOWN, set(options) - self.KNOWN
        get = options.get
        self.torch_dtype, self.overrides_torch_dtype = get("torch_dtype", torch.bfloat16), "torch_dtype" in options
        self.tp_degree, self.batch_size, self.on_cpu = get("tp_degree", 1), get("batch_size", 1), get("on_cpu", False)
        self.seq_len = self.max_length = get("seq_len", 128)
        self.max_context_length = get("max_context_length", self.seq_len)
        self.quantized, self.quantized_checkpoints_path = get("quantized", False), get("quantized_checkpoints_path")
        self.quantization_type, self.quantization_dtype = get("quantization_type", "per_tensor_symmetric"), get("quantization_dtype", "int8")
        self.modules_to_not_convert = get("modules_to_not_convert")
        self.on_device_sampling_config, self.output_logits = None, False


class LlamaInferenceConfig:
    def __init__(self, neuron_config, load_config=None):
        self.neuron_config = neuron_config
        load_config(self)
