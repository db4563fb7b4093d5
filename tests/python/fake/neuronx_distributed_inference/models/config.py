"""NeuronConfig and InferenceConfig at SDK 2.28 (nxdi cd3abf3), models/config.py: known options, their assertions, and nothing else. The real one
logs unknown options (:604-605)."""
import json
import os

import torch

KNOWN = set("""batch_size padding_side seq_len max_context_length max_new_tokens max_length torch_dtype output_logits on_cpu fused_qkv ctx_batch_size
tkg_batch_size max_batch_size is_continuous_batching on_device_sampling_config enable_bucketing context_encoding_buckets token_generation_buckets
quantized quantized_checkpoints_path quantization_type quantization_dtype modules_to_not_convert kv_cache_quant kv_quant_config tp_degree
save_sharded_checkpoint skip_warmup attention_dtype cast_type""".split())
TYPES = {"per_tensor_symmetric", "per_channel_symmetric"}
DTYPES = {"int8": "I8", "f8e4m3": "F8_E4M3", "f8e4m3fn": "F8_E4M3", "f8e5m2": "F8_E5M2"}


class KVQuantizationConfig:
    def __init__(self, quant_dtype=torch.float8_e4m3fn, direct_cast=True):
        """nxd v2.28.0, quantization/quantization_config.py:72-80."""
        assert isinstance(quant_dtype, torch.dtype), "quant_dtype must be a torch.dtype"
        self.quant_dtype, self.direct_cast = quant_dtype, direct_cast


class NeuronConfig:
    def __init__(self, **options):
        """Lines 94-240 and :300-304, with the asserts of :139, :218-221 and :656-663; the variables are inference_demo.py:465-467's."""
        unknown = set(options) - KNOWN
        if unknown:
            raise TypeError(f"NeuronConfig init: Unexpected keyword arguments: {sorted(unknown)}")
        get = options.get
        self.batch_size, self.padding_side, self.tp_degree = get("batch_size", 1), get("padding_side", "right"), get("tp_degree", 1)
        self.seq_len = get("seq_len", 128)
        self.max_context_length, self.max_length = get("max_context_length", self.seq_len), get("max_length", self.seq_len)
        assert self.max_context_length <= self.max_length, "max_context_length cannot be more than max_length"
        self.torch_dtype = get("torch_dtype", torch.bfloat16)
        assert isinstance(self.torch_dtype, torch.dtype)
        self.on_device_sampling_config, self.output_logits = get("on_device_sampling_config"), get("output_logits", False)
        self.quantized, self.quantized_checkpoints_path = get("quantized", False), get("quantized_checkpoints_path")
        assert self.quantized in (True, False) and isinstance(self.quantized, bool)
        if self.quantized is True:
            assert self.quantized_checkpoints_path is not None, "quantized_checkpoints_path is required"
        self.quantization_type, self.quantization_dtype = get("quantization_type", "per_tensor_symmetric"), get("quantization_dtype", "int8")
        assert self.quantization_type in TYPES and self.quantization_dtype.lower() in DTYPES
        self.modules_to_not_convert = get("modules_to_not_convert")
        self.kv_cache_quant, self.kv_quant_config = get("kv_cache_quant", False), get("kv_quant_config")
        if isinstance(self.kv_quant_config, dict):
            self.kv_quant_config = KVQuantizationConfig(**self.kv_quant_config)
        if (self.quantized and self.quantization_dtype == "f8e4m3") or self.kv_cache_quant:
            missing = [name for name in ("XLA_HANDLE_SPECIAL_SCALAR", "UNSAFE_FP8FNCAST") if os.environ.get(name) != "1"]
            assert not missing, f"{missing} must be set before torch_xla loads"


class LlamaInferenceConfig:
    REQUIRED = ("hidden_size", "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "vocab_size", "max_position_embeddings",
                "rope_theta", "rms_norm_eps", "hidden_act")

    def __init__(self, neuron_config, load_config=None):
        """Lines 808-860; what is required is models/llama/modeling_llama.py:321-334."""
        self.neuron_config = neuron_config
        load_config(self)
        for name in self.REQUIRED:
            assert hasattr(self, name), f"Config must define {name}"

    def save(self, folder):
        """Lines 886-903, of the options only one."""
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "neuron_config.json"), "w", encoding="utf-8") as file:
            json.dump({"neuron_config": {"tp_degree": self.neuron_config.tp_degree}}, file)
