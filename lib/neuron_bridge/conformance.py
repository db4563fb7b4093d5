"""A folder that the C# library wrote, compared byte by byte with what the release's own functions give.

bytes_only calls NxD's real quantization functions (nxd quantization/quantization_utils.py, the same in 2.28 and 2.29) on the weights of a
model, in any Python that has torch and neuronx_distributed: no device, no compiler, no transformers. int8 and both 8-bit floats, codes and scales.
It proves codes and scales. It does not prove that a graph loads them, nor what a chip computes with them.
"""
import json
import os

from . import weights
from .protocol import BridgeError
from .session import module

QUANTIZED = ("I8", "F8_E4M3", "F8_E5M2")
FLOAT8 = QUANTIZED[1:]
FLOATS = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
REMEDY = "Bytes-only conformance needs torch and neuronx_distributed; give such an interpreter with --python."
DTYPES = {"int8": "int8", "f8e4m3": "float8_e4m3fn", "f8e5m2": "float8_e5m2"}


def bytes_only(session, model_path, folder, quantization_type, quantization_dtype, modules_to_not_convert):
    """Quantizes the model's linear modules through NxD's functions and compares the folder with them."""
    torch, functions = module("torch", REMEDY), module("neuronx_distributed.quantization.quantization_utils", REMEDY)
    dtype = getattr(torch, DTYPES[quantization_dtype], None)
    if dtype is None:
        raise BridgeError(f"torch {torch.__version__} has no {DTYPES[quantization_dtype]}. Use torch 2.1 or newer, or compare --format int8.")
    model = _module_tree(torch, model_path)
    if quantization_type == "per_tensor_symmetric":  # application_base.py:776-779 (2.28): the list is not passed on
        quantized = functions.quantize_pytorch_model_per_tensor_symmetric(float_model=model, inplace=True, dtype=dtype)
    else:
        quantized = functions.quantize_pytorch_model_per_channel_symmetric(
            float_model=model, inplace=True, dtype=dtype, modules_to_not_convert=list(modules_to_not_convert))
    state = quantized.state_dict()
    functions.convert_qint8_to_int8_state_dict(state)
    session.log(f"quantized to {dtype} by {functions.__file__}, torch {torch.__version__}")
    return compare(state, folder, is_tied(model_path), torch)


def compare(state, folder, tied, torch):
    """Every code and scale of a state dictionary against the folder. A tied head that stays float may be left out of the folder: the graph takes
    the embedding's weight for it, and NxD's state always has it (model_base.py:3235 in 2.28)."""
    state = {weights.canonical(name): tensor for name, tensor in state.items() if tensor is not None}  # biases that a layer does not have
    written, differences, compared = weights.tensors_of(folder), [], 0
    for name, tensor in sorted(state.items()):
        if name not in written:
            if not (tied and name == "lm_head.weight" and "lm_head.scale" not in state):
                differences.append({"tensor": name, "difference": "missing in the folder"})
        elif name.endswith(".scale") or written[name][0] in QUANTIZED:
            compared += 1
            theirs, ours = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(), weights.bytes_of(written[name])
            if theirs != ours:
                count = sum(a != b for a, b in zip(theirs, ours)) + abs(len(theirs) - len(ours))
                differences.append({"tensor": name, "difference": f"{count} of {len(ours)} bytes"})
        elif f"{name.removesuffix('.weight')}.scale" in state:
            differences.append({"tensor": name, "difference": "is quantized by NxD and float in the folder"})
    # QuantizedLinear.from_float (quantization_utils.py:170-180, v2.28.0) loses the bias of a module that becomes fp8; the folder keeps it.
    lost = {name for name in set(written) - set(state) if name.endswith(".bias") and written.get(weight_of(name), " ")[0] in FLOAT8}
    differences.extend({"tensor": name, "difference": "not in NxD's state"} for name in sorted(set(written) - set(state) - lost))
    return {"tensors": compared, "differences": differences, "equal": not differences and compared > 0}


def weight_of(bias):
    return f"{bias.removesuffix('.bias')}.weight"


def is_tied(model_path):
    with open(os.path.join(model_path, "config.json"), encoding="utf-8") as file:
        return bool(json.load(file).get("tie_word_embeddings", False))


def _module_tree(torch, model_path):
    """The model's weights as modules of their Hugging Face names, in float32 as load_hf_model has them: two-dimensional weights are Linear, but
    for the embedding; everything else is a plain parameter. A tied head is a Linear with the embedding's weight."""
    root, found = torch.nn.Module(), weights.tensors_of(model_path)
    tensors = {name: _float32(torch, name, entry) for name, entry in found.items()}
    if is_tied(model_path):
        tensors["lm_head.weight"] = tensors["embed_tokens.weight"]
    for name, tensor in sorted(tensors.items(), key=lambda entry: entry[0].endswith(".bias")):  # a weight says whether its module is linear
        path = ("" if name.startswith("lm_head") else "model.") + name
        *parents, owner, parameter = path.split(".")
        holder = root
        for parent in parents:
            if not hasattr(holder, parent):
                holder.add_module(parent, torch.nn.Module())
            holder = getattr(holder, parent)
        if not hasattr(holder, owner):
            linear = parameter == "weight" and tensor.dim() == 2 and owner != "embed_tokens"
            bias = name.removesuffix("weight") + "bias" in tensors
            holder.add_module(owner, torch.nn.Linear(tensor.shape[1], tensor.shape[0], bias=bias) if linear else torch.nn.Module())
        setattr(getattr(holder, owner), parameter, torch.nn.Parameter(tensor, requires_grad=False))
    return root


def _float32(torch, name, entry):
    kind, shape = entry[:2]
    if kind not in FLOATS:
        raise BridgeError(f"{name} is {kind}: bytes-only conformance starts from a float model. Give the folder that nq quantize read.")
    return torch.frombuffer(bytearray(weights.bytes_of(entry)), dtype=getattr(torch, FLOATS[kind])).reshape(shape).to(torch.float32)
