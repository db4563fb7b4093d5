"""What a device would compute, in plain Python: the logits that follow a prompt, from the folder that was loaded.

A second reading of the formulas, written from Hugging Face's definition of Llama and from nothing of the C# engine: codes times scales, RMSNorm,
rotary embedding in halves, grouped-query attention, SwiGLU. Slow, for toys of less than a million weights.
"""
import json
import math
import os
import struct
from array import array
from operator import mul


def tensors(folder):
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    return {name.removeprefix("model."): values(entry["dtype"], data[slice(*entry["data_offsets"])], entry["shape"])
            for name, entry in header.items()}


def values(kind, data, shape):
    if kind == "BF16":  # The upper half of a float32.
        wide = bytearray(2 * len(data))
        wide[2::4], wide[3::4] = data[0::2], data[1::2]
        flat = array("f", bytes(wide))
    else:
        flat = array({"I8": "b", "F32": "f"}[kind], data)
    width = shape[-1]
    return flat if len(shape) == 1 else [flat[start:start + width] for start in range(0, len(flat), width)]


def linear(state, name, xs):
    rows, scales = state[f"{name}.weight"], state.get(f"{name}.scale")
    factors = [scale[0] for scale in scales] if scales else [1.0] * len(rows)
    return [[sum(map(mul, row, x)) * factor for row, factor in zip(rows, factors)] for x in xs]


def norm(weight, xs, epsilon):
    return [[w * v / math.sqrt(sum(map(mul, x, x)) / len(x) + epsilon) for w, v in zip(weight, x)] for x in xs]


def rotate(head, position, theta):
    half = len(head) // 2
    angles = [position * theta ** (-2 * i / len(head)) for i in range(half)]
    return ([head[i] * math.cos(a) - head[i + half] * math.sin(a) for i, a in enumerate(angles)]
            + [head[i + half] * math.cos(a) + head[i] * math.sin(a) for i, a in enumerate(angles)])


def attention(config, state, name, xs):
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    group = config.num_attention_heads // config.num_key_value_heads

    def heads(kind, turned):
        rows = [[row[i:i + width] for i in range(0, len(row), width)] for row in linear(state, f"{name}.{kind}_proj", xs)]
        return [[rotate(head, position, config.rope_theta) for head in row] for position, row in enumerate(rows)] if turned else rows

    queries, keys, mixed = heads("q", True), heads("k", True), heads("v", False)
    result = []
    for position, row in enumerate(queries):
        out = []
        for number, query in enumerate(row):
            scores = [sum(map(mul, query, keys[j][number // group])) / math.sqrt(width) for j in range(position + 1)]
            powers = [math.exp(score - max(scores)) for score in scores]
            out += [sum(power * mixed[j][number // group][i] for j, power in enumerate(powers)) / sum(powers) for i in range(width)]
        result.append(out)
    return linear(state, f"{name}.o_proj", result)


def mlp(state, name, xs):
    gates, ups = linear(state, f"{name}.gate_proj", xs), linear(state, f"{name}.up_proj", xs)
    return linear(state, f"{name}.down_proj", [[g / (1 + math.exp(-g)) * u for g, u in zip(gate, up)] for gate, up in zip(gates, ups)])


def add(xs, ys):
    return [[a + b for a, b in zip(x, y)] for x, y in zip(xs, ys)]


def logits(config, folder, ids):
    """The logits of the token that follows."""
    state, epsilon = tensors(folder), config.rms_norm_eps
    xs = [list(state["embed_tokens.weight"][token]) for token in ids]
    for layer in range(config.num_hidden_layers):
        name = f"layers.{layer}"
        xs = add(xs, attention(config, state, f"{name}.self_attn", norm(state[f"{name}.input_layernorm.weight"], xs, epsilon)))
        xs = add(xs, mlp(state, f"{name}.mlp", norm(state[f"{name}.post_attention_layernorm.weight"], xs, epsilon)))
    head = "lm_head" if "lm_head.weight" in state else "embed_tokens"
    return linear(state, head, norm(state["norm.weight"], xs[-1:], epsilon))[0]
