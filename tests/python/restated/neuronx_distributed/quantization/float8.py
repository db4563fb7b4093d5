"""The two 8-bit floats of torch 2.1 and newer, for a torch that lacks them: what tensor.to(torch.float8_e4m3fn) gives, as bytes.

A second reading, by table: every finite value of the type is listed from its definition, and a number gets the nearest one; of two that are equally
near, the one with the even code. NxD clamps before it casts (quantization_utils.py:137 and :150 in v2.28.0), so what lies beyond the largest value
never comes here.
"""
import torch


class Float8:
    """Stands where a torch.dtype would: 1 sign bit, then exponent and mantissa bits; bound is what NxD clamps to."""

    def __init__(self, name, exponent_bits, bound):
        mantissa_bits, bias = 7 - exponent_bits, (1 << (exponent_bits - 1)) - 1
        scale = 1 << mantissa_bits
        self.name, self.bound = name, bound
        values = []
        for code in range(0x80):
            exponent, mantissa = divmod(code, scale)
            value = mantissa / scale * 2.0 ** (1 - bias) if exponent == 0 else (1 + mantissa / scale) * 2.0 ** (exponent - bias)
            if value <= bound:
                values.append(value)
        self._values = torch.tensor(values, dtype=torch.float64)  # code to value, ascending
        self._middles = (self._values[1:] + self._values[:-1]) / 2

    def cast(self, tensor):
        """The codes, uint8, of the tensor's shape."""
        size = tensor.abs().to(torch.float64)
        assert bool((size <= self.bound).all()), "NxD clamps first"
        below, above = (torch.bucketize(size, self._middles, right=right) for right in (False, True))  # they differ where it is halfway
        code = torch.where(below % 2 == 0, below, above)
        return (code + 128 * torch.signbit(tensor)).to(torch.uint8)

    def __repr__(self):
        return f"torch.{self.name}, restated"


# quantization_config.py:20-63 (nxd v2.28.0), DtypeBound: 240 is Neuron's own bound, where the type itself would reach 448.
KINDS = {"float8_e4m3fn": Float8("float8_e4m3fn", 4, 240.0), "float8_e5m2": Float8("float8_e5m2", 5, 57344.0)}


def install():
    """Gives torch the names that it lacks. A torch that has them keeps its own, and its own cast is used."""
    for name, kind in KINDS.items():
        if not hasattr(torch, name):
            setattr(torch, name, kind)


def cast(tensor, dtype):
    """tensor.to(dtype), by torch itself where it has the type."""
    return dtype.cast(tensor) if isinstance(dtype, Float8) else tensor.to(dtype)


def bound_of(dtype):
    return next(kind.bound for name, kind in KINDS.items() if getattr(torch, name) is dtype)


def is_float8(dtype):
    return any(getattr(torch, name) is dtype for name in KINDS)
