"""Makes tests/NeuronQuant.Tests/Golden/torch_grids.json: what torch's own observers and kernels say of open grids.

Scale and zero point of each group are those of torch's PerChannelMinMaxObserver (per_channel_affine and per_channel_symmetric are its schemes; the
grid nxd, which is none of them, is absmax / (2^(b-1) - 1) by torch operations), and codes and values those of fake_quantize_per_channel_affine.
Weights are those of make_quantize_golden.py, moved off centre so that zero points differ from the middle; the file holds digests.
usage: /usr/bin/python3 make_grid_golden.py > ../NeuronQuant.Tests/Golden/torch_grids.json   (needs torch; made with the version it names)
"""
import hashlib
import json

import torch
from torch.ao.quantization.observer import PerChannelMinMaxObserver

SHAPES = [(64, 64), (65, 127), (32, 256), (7, 1000)]
GRIDS = [(name, bits, group) for name in ("nxd", "asymmetric", "half") for bits in (2, 3, 4, 8) for group in (None, 32, 64, 128)]


def weights(rows, columns, seed):
    """bf16: the sum of four 16-bit fields of the state, centred, times 2^-20; one row in seven times 30, one in five moved up by 0.0625."""
    state, mask, values = seed, (1 << 64) - 1, []
    for row in range(rows):
        gain, shift = (30.0 if row % 7 == 3 else 1.0), (0.0625 if row % 5 == 1 else 0.0)
        for _ in range(columns):
            state = (state * 6364136223846793005 + 1442695040888963407) & mask
            total = sum((state >> bits) & 0xFFFF for bits in (0, 16, 32, 48)) - 131070
            values.append(total * gain * 2.0**-20 + shift)
    return torch.tensor(values, dtype=torch.float64).to(torch.float32).to(torch.bfloat16).reshape(rows, columns).float()


def scaling(part, name, bits):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if name == "nxd":
        scale = torch.clamp(part.abs().amax(dim=1) / high, min=torch.finfo(torch.float32).eps)
        return scale, torch.zeros(len(part), dtype=torch.int32), -high, high
    scheme = torch.per_channel_affine if name == "asymmetric" else torch.per_channel_symmetric
    observer = PerChannelMinMaxObserver(ch_axis=0, dtype=torch.qint8, qscheme=scheme, quant_min=low, quant_max=high)
    observer(part)
    scale, zero = observer.calculate_qparams()
    return scale.float(), zero.to(torch.int32), low, high


def digest(tensor):
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


cases = []
for seed, (rows, columns) in enumerate(SHAPES, start=11):
    w = weights(rows, columns, seed)
    for name, bits, group in GRIDS:
        codes, values, scales, zeros = [], [], [], []
        for start in range(0, columns, group or columns):
            part = w[:, start:start + (group or columns)].contiguous()
            scale, zero, low, high = scaling(part, name, bits)
            value = torch.fake_quantize_per_channel_affine(part, scale, zero, 0, low, high)
            code = torch.round(value.double() / scale.double()[:, None]) + zero[:, None]
            codes.append(code.to(torch.int8)), values.append(value), scales.append(scale), zeros.append(zero.float())
        cases.append({
            "seed": seed, "rows": rows, "columns": columns, "grid": name, "bits": bits, "group": group,
            "codes_sha256": digest(torch.cat(codes, 1)), "values_sha256": digest(torch.cat(values, 1)),
            "scales_sha256": digest(torch.stack(scales, 1)), "zeros_sha256": digest(torch.stack(zeros, 1)),
            "first_codes": codes[0][1, :6].tolist(), "first_zero": float(zeros[0][1]),
        })
# One case a line: a difference then shows which.
print('{"made_by": "tests/python/make_grid_golden.py", "torch": "%s", "cases": [' % torch.__version__)
print(",\n".join(json.dumps(case) for case in cases) + "\n]}")
