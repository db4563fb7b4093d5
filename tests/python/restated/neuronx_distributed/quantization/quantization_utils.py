"""NxD's quantization functions for int8, restated on torch's own quantizers: for a Python that has torch and no neuronx_distributed.

Each says which lines of nxd v2.28.0, quantization/quantization_utils.py, it follows. Rounding and code arithmetic are torch's; only the choice
of scales and of modules is said again. fp8 is not here: torch 1.13, which Debian has, lacks its types.
"""
import torch

EPSILON = torch.finfo(torch.float32).eps  # observer.py:116: the least scale


def quantize_pytorch_model_per_channel_symmetric(float_model, inplace=False, dtype=torch.int8, modules_to_not_convert=None):
    """Lines 210-234, with the scale of PerChannelAbsMaxObserver (observer.py:105-116): the largest magnitude of a row over 127."""
    kept = [name for name, _ in float_model.named_modules() if any(entry in name for entry in modules_to_not_convert or [])]  # lines 12-32

    def quantize(weight):
        scales = torch.clamp(weight.abs().amax(dim=1) / 127.0, min=EPSILON)
        return torch.quantize_per_channel(weight, scales, torch.zeros(len(scales), dtype=torch.int64), 0, torch.qint8)

    return _swapped(float_model, dtype, kept, quantize)


def quantize_pytorch_model_per_tensor_symmetric(float_model, inplace=False, dtype=torch.int8):
    """Lines 190-208: torch's default for dynamic quantization, one scale a weight, no module left out."""
    def quantize(weight):
        observer = torch.quantization.default_weight_observer()
        observer(weight)
        scale, zero = observer.calculate_qparams()
        return torch.quantize_per_tensor(weight, float(scale), int(zero), torch.qint8)

    return _swapped(float_model, dtype, [], quantize)


def convert_qint8_to_int8_state_dict(state):
    """Lines 92-122: the integers and, in float32, the scales: [out, 1] per channel, [1] per tensor."""
    for name in [name for name, tensor in state.items() if tensor.dtype == torch.qint8]:
        tensor = state[name]
        per_channel = tensor.qscheme() == torch.per_channel_affine
        scale = tensor.q_per_channel_scales().to(torch.float32).view(-1, 1) if per_channel else torch.tensor([tensor.q_scale()])
        state[name], state[name[:-len("weight")] + "scale"] = torch.int_repr(tensor), scale


def _swapped(model, dtype, kept, quantize):
    if dtype not in (torch.int8, torch.qint8):
        raise ValueError(f"{dtype} is not restated")
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name not in kept:
            weight = module.weight.detach()
            del module.weight
            module.register_buffer("weight", quantize(weight))
    return model
