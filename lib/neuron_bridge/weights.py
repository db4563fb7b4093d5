"""Reads the safetensors files of a folder, headers and raw bytes, with the priority of NxD Inference's loader."""
import json
import os
import struct

from .protocol import BridgeError

RECORD = "neuronquant.json"  # Beside every folder that the C# library wrote.


def files_of(folder):
    single, index = os.path.join(folder, "model.safetensors"), os.path.join(folder, "model.safetensors.index.json")
    if os.path.isfile(single):
        return [single]
    if os.path.isfile(index):
        with open(index, encoding="utf-8") as file:
            return [os.path.join(folder, name) for name in sorted(set(json.load(file)["weight_map"].values()))]
    raise BridgeError(f"{folder} holds neither model.safetensors nor its index. Write it with nq quantize --layout nxd.")


def header_of(path):
    """Names to {dtype, shape, data_offsets}, and where the data begins."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header, 8 + length


def canonical(name):
    """The loader drops one leading "model." and takes ".weight_scale" for ".scale"."""
    name = name[len("model."):] if name.startswith("model.") else name
    return name[:-len(".weight_scale")] + ".scale" if name.endswith(".weight_scale") else name


def tensors_of(folder):
    """Canonical name to (dtype, shape, file, offset, length)."""
    found = {}
    for path in files_of(folder):
        header, start = header_of(path)
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            found[canonical(name)] = (entry["dtype"], entry["shape"], path, start + begin, end - begin)
    return found


def bytes_of(tensor):
    _, _, path, offset, length = tensor
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)


def written_by_us(folder):
    return folder is not None and os.path.isfile(os.path.join(folder, RECORD))
