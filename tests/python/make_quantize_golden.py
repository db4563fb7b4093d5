"""Makes tests/NeuronQuant.Tests/Golden/torch_quantize.json: what torch's own kernels say about int8 per channel.

Weights are bf16 numbers from a 64-bit linear congruential generator that the C# test repeats, so the file holds only digests.
usage: python3 make_quantize_golden.py > ../NeuronQuant.Tests/Golden/torch_quantize.json   (needs torch; made with the version it names)
"""
import hashlib
import json
import sys

import torch

SHAPES = [(64, 64), (172, 64), (65, 127), (512, 1000), (1024, 5120)]


def weights(rows, columns, seed):
    """bf16 codes: the sum of four 16-bit fields of the state, centred, times 2^-20; one row in seven is scaled by 30."""
    state, mask, values = seed, (1 << 64) - 1, []
    for row in range(rows):
        gain = 30.0 if row % 7 == 3 else 1.0
        for _ in range(columns):
            state = (state * 6364136223846793005 + 1442695040888963407) & mask
            total = sum((state >> shift) & 0xFFFF for shift in (0, 16, 32, 48)) - 131070
            values.append(total * gain * 2.0**-20)
    return torch.tensor(values, dtype=torch.float64).to(torch.float32).to(torch.bfloat16).reshape(rows, columns)


def digest(tensor):
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


cases = []
for seed, (rows, columns) in enumerate(SHAPES, start=1):
    w = weights(rows, columns, seed).float()
    scale = w.abs().amax(dim=1) / 127
    codes = torch.quantize_per_channel(w, scale.double(), torch.zeros(rows, dtype=torch.int64), 0, torch.qint8).int_repr()
    tensor_scale = max(float(w.abs().max()) / 127.5, 1.1920928955078125e-07)
    whole = torch.quantize_per_tensor(w, tensor_scale, 0, torch.qint8).int_repr()
    cases.append({
        "seed": seed, "rows": rows, "columns": columns,
        "weights_sha256": digest(w), "codes_sha256": digest(codes), "scales_sha256": digest(scale.float()),
        "per_tensor_codes_sha256": digest(whole), "first_codes": codes[0, :8].tolist(),
        "outlier_magnitude": float(w.double().var(dim=1).mean()),
    })
json.dump({"made_by": "tests/python/make_quantize_golden.py", "torch": torch.__version__, "cases": cases}, sys.stdout, indent=2)
print()
