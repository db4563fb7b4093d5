"""NxD's quantization functions, restated on torch's own quantizers: for a Python that has torch and no neuronx_distributed.

Each says which lines of nxd v2.28.0, quantization/quantization_utils.py, it follows. Rounding and code arithmetic of int8 are torch's; only the
choice of scales and of modules is said again. The cast to fp8 is torch's where torch has the type, and float8.py's where it has not (before 2.1).
"""
import torch

from . import float8

float8.install()
EPSILON = torch.finfo(torch.float32).eps  # observer.py:116: the least scale
FP8_EPSILON = 1e-05  # line 135


def quantize_pytorch_model_per_channel_symmetric(float_model, inplace=False, dtype=torch.int8, modules_to_not_convert=None):
    """Lines 210-234; int8 with the scale of PerChannelAbsMaxObserver (observer.py:105-116): the largest magnitude of a row over 127."""
    kept = [name for name, _ in float_model.named_modules() if any(entry in name for entry in modules_to_not_convert or [])]  # lines 12-32

    def quantize(weight):
        if float8.is_float8(dtype):
            return quantize_fp8_per_channel(weight, dtype, 0)
        scales = torch.clamp(weight.abs().amax(dim=1) / 127.0, min=EPSILON)
        return torch.quantize_per_channel(weight, scales, torch.zeros(len(scales), dtype=torch.int64), 0, torch.qint8), None

    return _swapped(float_model, dtype, kept, quantize)


def quantize_pytorch_model_per_tensor_symmetric(float_model, inplace=False, dtype=torch.int8):
    """Lines 190-208: for int8 torch's default for dynamic quantization, one scale a weight, no module left out."""
    def quantize(weight):
        if float8.is_float8(dtype):
            return quantize_fp8_per_tensor(weight, dtype)
        observer = torch.quantization.default_weight_observer()
        observer(weight)
        scale, zero = observer.calculate_qparams()
        return torch.quantize_per_tensor(weight, float(scale), int(zero), torch.qint8), None

    return _swapped(float_model, dtype, [], quantize)


def quantize_fp8_per_channel(tensor, dtype, channel_axis):
    """Lines 126-142: the largest magnitude of a row over the bound, at least 1e-5; divided, clamped, cast. The scale keeps its dimension."""
    bound = float8.bound_of(dtype)
    others = tuple(axis for axis in range(tensor.dim()) if axis != channel_axis)
    scales = torch.amax(tensor.to(torch.float32).abs(), dim=others, keepdim=True) / bound
    scales = torch.max(scales, torch.ones(scales.shape) * FP8_EPSILON)
    return float8.cast(torch.clamp(tensor / scales, -bound, bound), dtype), scales


def quantize_fp8_per_tensor(tensor, dtype):
    """Lines 144-152: no least scale, and a scale without dimensions."""
    bound = float8.bound_of(dtype)
    scale = torch.max(torch.abs(tensor)) / bound
    return float8.cast(torch.clamp(tensor / scale, -bound, bound), dtype), scale


def convert_qint8_to_int8_state_dict(state):
    """Lines 92-122: the integers and, in float32, the scales: [out, 1] per channel, [1] per tensor. fp8 is left as it is."""
    for name in [name for name, tensor in state.items() if tensor.dtype == torch.qint8]:
        tensor = state[name]
        per_channel = tensor.qscheme() == torch.per_channel_affine
        scale = tensor.q_per_channel_scales().to(torch.float32).view(-1, 1) if per_channel else torch.tensor([tensor.q_scale()])
        state[name], state[name[:-len("weight")] + "scale"] = torch.int_repr(tensor), scale


def _swapped(model, dtype, kept, quantize):
    if dtype not in (torch.int8, torch.qint8) and not float8.is_float8(dtype):
        raise ValueError(f"{dtype} is not supported to quantize model on CPU")  # lines 202 and 229
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name not in kept:
            weight, scale = quantize(module.weight.detach())
            del module.weight
            module.register_buffer("weight", weight)
            if scale is not None:  # QuantizedLinear, lines 154-180: a weight and a scale, and whatever bias there was is lost
                module.register_buffer("scale", scale)
                module.register_parameter("bias", None)
    return model
