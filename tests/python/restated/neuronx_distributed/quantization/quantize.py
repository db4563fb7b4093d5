"""nxd v2.28.0, quantization/quantize.py: the module swap that makes a graph's model quantized."""
from neuronx_distributed.parallel_layers import layers
from neuronx_distributed.quantization import quantization_layers

# quantization_mappings.py:11-16
MAPPING = {layers.ColumnParallelLinear: quantization_layers.QuantizedColumnParallel,
           layers.RowParallelLinear: quantization_layers.QuantizedRowParallel}


def convert(module, q_config=None, inplace=False, mapping=None, include=None, modules_to_not_convert=None):
    """Lines 18-71 and 93-146: by the module's own name and by a part of its full name."""
    assert inplace and include is None
    _swap(module, q_config, mapping or MAPPING, [], modules_to_not_convert or [])
    return module


def _swap(module, q_config, mapping, prefixes, kept):
    for name, child in list(module.named_children()):
        path = [*prefixes, name]
        if type(child) not in mapping:
            _swap(child, q_config, mapping, path, kept)
        elif name not in kept and not any(entry in ".".join(path) for entry in kept):  # lines 121-123
            setattr(module, name, mapping[type(child)].from_float(child, q_config))
