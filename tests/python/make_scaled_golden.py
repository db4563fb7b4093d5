"""Makes tests/NeuronQuant.Tests/Golden/scaled_weights.json: what weights stored as code and scale are worth.

Codes are decoded by the formula of the OCP 8-bit floating point specification (sign, exponent, mantissa), int8 as it is; the product is taken
in float32 by numpy and rounded to bfloat16 by torch. Scales are laid out as the writers of such checkpoints do, blocks cut off at the edges.
usage: python3 make_scaled_golden.py > ../NeuronQuant.Tests/Golden/scaled_weights.json   (needs numpy and torch; made with the versions it names)
"""
import base64
import json
import sys

import numpy
import torch

SEED = 20260101


def e4m3(code):
    sign, exponent, mantissa = -1.0 if code & 128 else 1.0, (code >> 3) & 15, code & 7
    if exponent == 15 and mantissa == 7:
        return float("nan")
    return sign * (mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7))


def e5m2(code):
    sign, exponent, mantissa = -1.0 if code & 128 else 1.0, (code >> 2) & 31, code & 3
    if exponent == 31:
        return float("nan") if mantissa else sign * float("inf")
    return sign * (mantissa / 4 * 2.0**-14 if exponent == 0 else (1 + mantissa / 4) * 2.0 ** (exponent - 15))


DECODE = {"F8_E4M3": numpy.array([e4m3(c) for c in range(256)], numpy.float32),
          "F8_E5M2": numpy.array([e5m2(c) for c in range(256)], numpy.float32),
          "I8": numpy.arange(256, dtype=numpy.uint8).view(numpy.int8).astype(numpy.float32)}

# name, type of the codes, weight's shape, scale's name, type and shape, rows and columns that share a scale
CASES = [
    ("compressed-tensors, per channel", "F8_E4M3", (5, 24), "weight_scale", "BF16", (5, 1), 1, 24),
    ("compressed-tensors, int8", "I8", (7, 16), "weight_scale", "F32", (7, 1), 1, 16),
    ("compressed-tensors, int8 in groups", "I8", (3, 32), "weight_scale", "BF16", (3, 4), 1, 8),
    ("ModelOpt, per tensor", "F8_E4M3", (4, 16), "weight_scale", "F32", (), 4, 16),
    ("ModelOpt, blocks", "F8_E4M3", (130, 140), "weight_scale", "F32", (2, 1, 2, 1), 128, 128),
    ("fbgemm", "F8_E4M3", (6, 8), "weight_scale", "F32", (6, 1), 1, 8),
    ("DeepSeek", "F8_E4M3", (129, 131), "weight_scale_inv", "F32", (2, 2), 128, 128),
    ("NxD, int8", "I8", (5, 9), "scale", "F32", (5, 1), 1, 9),
    ("NxD, f8e5m2 per tensor", "F8_E5M2", (4, 6), "scale", "F32", (1,), 4, 6),
    ("one number for each row, flat", "F8_E4M3", (4, 6), "weight_scale", "F16", (4,), 1, 6),
]

random = numpy.random.default_rng(SEED)
cases = []
for name, kind, shape, scale_name, scale_type, scale_shape, rows, columns in CASES:
    table = DECODE[kind]
    codes = random.integers(0, 256, shape, dtype=numpy.uint8)
    codes[~numpy.isfinite(table[codes])] = 1
    scale = torch.from_numpy(numpy.asarray(random.uniform(0.001, 0.02, scale_shape), numpy.float32))
    scale = scale.to({"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}[scale_type])
    flat = scale.float().numpy().reshape(-(-shape[0] // rows), -(-shape[1] // columns))
    full = numpy.repeat(numpy.repeat(flat, rows, 0), columns, 1)[:shape[0], :shape[1]]
    values = torch.from_numpy(table[codes] * full).to(torch.bfloat16)
    raw = scale.view(torch.int16).numpy() if scale_type == "BF16" else scale.numpy()
    encode = lambda data: base64.b64encode(data.tobytes()).decode()
    cases.append({"name": name, "type": kind, "shape": shape, "codes": encode(codes), "scale_name": scale_name, "scale_type": scale_type,
                  "scale_shape": scale_shape, "scale": encode(raw), "bf16": encode(values.view(torch.int16).numpy())})

json.dump({"made_by": f"tests/python/make_scaled_golden.py, numpy {numpy.__version__}, torch {torch.__version__}", "seed": SEED, "cases": cases},
          sys.stdout, indent=1)
print()
