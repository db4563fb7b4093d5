"""NeuronLlamaForCausalLM on a CPU: nxdi cd3abf3 (SDK 2.28). FAKE_NXDI=to_cpu:missing plays a release without it, to_cpu:refused one that cannot."""
import json
import os
import struct
from types import SimpleNamespace

import torch
from neuronx_distributed.quantization.quantize import convert
from neuronx_distributed.trace.trace import get_sharded_checkpoint
from neuronx_distributed_inference.models.config import LlamaInferenceConfig, NeuronConfig
from neuronx_distributed_inference.models.llama.model import NeuronLlamaModel

TYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "I8": torch.int8}


class DecoderModelInstance:
    """models/model_wrapper.py:1442-1530."""

    def __init__(self, model_cls, config):
        self.model_cls, self.config, self.module = model_cls, config, None

    def load_module(self):
        neuron = self.config.neuron_config
        self.module = self.model_cls(self.config).eval()
        if neuron.quantized:
            q_config = {"quantized_dtype": {"int8": torch.int8}[neuron.quantization_dtype],
                        "per_channel": neuron.quantization_type == "per_channel_symmetric"}
            convert(self.module, q_config=q_config, inplace=True, modules_to_not_convert=neuron.modules_to_not_convert)


class ModelWrapper:
    """models/model_wrapper.py:474-479."""

    def __init__(self, config, model_cls):
        self.config, self.model_cls, self.model = config, model_cls, None

    def get_model_instance(self):
        return DecoderModelInstance(self.model_cls, self.config)


class NeuronLlamaForCausalLM:
    def __init__(self, model_path, config=None):
        """models/model_base.py:3069-3110: one wrapper for the prompt and one for the tokens."""
        self.model_path, self.config, self.neuron_config = model_path, config, config.neuron_config
        self.models = [ModelWrapper(config, NeuronLlamaModel) for _ in range(2)]

    @classmethod
    def get_config_cls(cls):
        return LlamaInferenceConfig

    @classmethod
    def get_neuron_config_cls(cls):
        return NeuronConfig

    def reset(self):
        """models/model_base.py:3942-3946."""

    def to_cpu(self):
        """models/application_base.py:554-626: never convert, and strict=False at :607, so that codes would be cast to weights."""
        os.environ["NXD_CPU_MODE"] = "1"
        if os.environ.get("FAKE_NXDI") == "to_cpu:refused":
            raise NotImplementedError("to_cpu() is not implemented")  # as models/pixtral/modeling_pixtral.py:423 does
        assert os.environ["MASTER_PORT"], "29500 may be taken"
        model, state = NeuronLlamaModel(self.config), self.checkpoint_loader_fn()
        get_sharded_checkpoint(state, model, 0, self.neuron_config.tp_degree)
        model.load_state_dict(state, strict=False)
        for wrapper in self.models:
            wrapper.model = model.eval()

    def checkpoint_loader_fn(self, mmap=False):
        """models/application_base.py:628-681 and :690-737; convert_hf_to_neuron_state_dict, models/llama/modeling_llama.py:1454-1522."""
        folder = self.neuron_config.quantized_checkpoints_path if self.neuron_config.quantized else self.model_path
        state = {}
        for name, tensor in _tensors(folder):
            name = name.removeprefix("model.").replace(".weight_scale", ".scale")
            state[name] = tensor.to(torch.float32) if tensor.dtype in (torch.bfloat16, torch.float16) else tensor  # copied into float32 parameters
        for prefix in [f"layers.{layer}.self_attn." for layer in range(self.config.num_hidden_layers)] + [""]:
            state[f"{prefix}rank_util.rank"] = torch.arange(0, self.neuron_config.tp_degree, dtype=torch.int32)
        if getattr(self.config, "tie_word_embeddings", False):
            state["lm_head.weight"] = state["embed_tokens.weight"].clone()
        return state

    def forward(self, input_ids=None, seq_ids=None, attention_mask=None, position_ids=None):
        """models/model_base.py:3355-3505, without sampling: the logits; a prompt is what begins at position 0 (:3388)."""
        assert int(position_ids.min()) == 0 and bool(attention_mask.all())
        logits, *_ = self.models[0].model(input_ids, position_ids)
        return SimpleNamespace(logits=logits)


if os.environ.get("FAKE_NXDI") == "to_cpu:missing":
    del NeuronLlamaForCausalLM.to_cpu


def _tensors(folder):
    single, index = os.path.join(folder, "model.safetensors"), os.path.join(folder, "model.safetensors.index.json")
    if os.path.isfile(single):
        names = ["model.safetensors"]
    else:
        with open(index, encoding="utf-8") as file:
            names = sorted(set(json.load(file)["weight_map"].values()))
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
            data = file.read()
        header.pop("__metadata__", None)
        for key, entry in header.items():
            yield key, torch.frombuffer(bytearray(data[slice(*entry["data_offsets"])]), dtype=TYPES[entry["dtype"]]).reshape(entry["shape"])
