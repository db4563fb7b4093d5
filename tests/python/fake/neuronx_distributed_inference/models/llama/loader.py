"""What the loader asks of a checkpoint folder, from the model's config.json and the exclusion list under Neuron names. The real loader is silent
about codes of a module that it does not convert and casts them to weights (nxd v2.28.0, trace/model_builder.py:786-800); here that is an error."""
import json
import os
import struct

from neuronx_distributed_inference.models.config import DTYPES

FLOATS = ("BF16", "F16", "F32")


def header(folder):
    """nxdi cd3abf3 (SDK 2.28), modules/checkpoint.py:24-70; names as models/application_base.py:703-714."""
    single, index = os.path.join(folder, "model.safetensors"), os.path.join(folder, "model.safetensors.index.json")
    names = ["model.safetensors"] if os.path.isfile(single) else sorted(set(json.load(open(index, encoding="utf-8"))["weight_map"].values()))
    found = {}
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            entries = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        entries.pop("__metadata__", None)
        for key, entry in entries.items():
            found[key.removeprefix("model.").replace(".weight_scale", ".scale")] = (entry["dtype"], entry["shape"])
    return found


def linears(config):
    """Hugging Face's names and Neuron's: modules/attention/gqa.py:894-900 and :1306-1315, models/llama/modeling_llama.py:1371-1394."""
    hidden, width = config.hidden_size, getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    query, key, middle = config.num_attention_heads * width, config.num_key_value_heads * width, config.intermediate_size
    for layer in range(config.num_hidden_layers):
        attention, mlp = f"layers.{layer}.self_attn", f"layers.{layer}.mlp"
        yield f"{attention}.q_proj", f"{attention}.qkv_proj.q_proj", [query, hidden]
        yield f"{attention}.k_proj", f"{attention}.qkv_proj.k_proj", [key, hidden]
        yield f"{attention}.v_proj", f"{attention}.qkv_proj.v_proj", [key, hidden]
        yield f"{attention}.o_proj", f"{attention}.o_proj.o_proj", [hidden, query]
        yield f"{mlp}.gate_proj", f"{mlp}.gate_proj", [middle, hidden]
        yield f"{mlp}.up_proj", f"{mlp}.up_proj", [middle, hidden]
        yield f"{mlp}.down_proj", f"{mlp}.down_proj", [hidden, middle]
    yield "lm_head", "lm_head", [config.vocab_size, hidden]


def check(folder, config):
    """nxd v2.28.0, quantization/quantization_layers.py:362-443 (what is missing), quantize.py:121-123 (the list), :232-254 (shapes of scales)."""
    neuron, found = config.neuron_config, header(folder)
    expected = {"embed_tokens.weight", "norm.weight"}
    norms = ("input_layernorm", "post_attention_layernorm")
    expected |= {f"layers.{layer}.{norm}.weight" for layer in range(config.num_hidden_layers) for norm in norms}
    for name, neuron_name, shape in linears(config):
        converted = neuron.quantized and not any(entry in neuron_name for entry in neuron.modules_to_not_convert or [])
        if f"{name}.weight" not in found and name == "lm_head" and getattr(config, "tie_word_embeddings", False):
            continue
        expected.add(f"{name}.weight")
        kind, actual = found.get(f"{name}.weight", (None, None))
        if kind is None:
            raise RuntimeError(f"Cannot find {name}.weight in state_dict")
        if actual != shape:
            raise RuntimeError(f"{name}.weight has shape {actual}, expected {shape}")
        if converted:
            if f"{name}.scale" not in found:
                raise RuntimeError(f"Cannot find {name}.scale in state_dict")
            expected.add(f"{name}.scale")
            scale = [shape[0], 1] if neuron.quantization_type == "per_channel_symmetric" else [1]
            if found[f"{name}.scale"] != ("F32", scale):
                raise RuntimeError(f"{name}.scale is {found[f'{name}.scale']}, expected F32 {scale}")
        if converted and kind != DTYPES[neuron.quantization_dtype.lower()] or not converted and kind not in FLOATS:
            raise RuntimeError(f"{name}.weight is {kind}, which the graph does not expect")
    for name in expected - set(found):
        raise RuntimeError(f"Cannot find {name} in state_dict")
    for name in set(found) - expected:
        raise RuntimeError(f"{name} is in the state_dict, and nothing asks for it")
