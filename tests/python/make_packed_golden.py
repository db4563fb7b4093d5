"""Makes tests/NeuronQuant.Tests/Golden/packed_weights.json: integers packed as GPTQ and auto-round do, and what they are worth.

Packing is written down from the format: 32 / b integers in an int32, the first lowest; qweight transposed and packed along the input, qzeros along the
output and, in "gptq", stored less one; scales float16 [groups, out]. Values are scale * (code - zero) by numpy in float32, rounded to bfloat16 by torch.
usage: /usr/bin/python3 make_packed_golden.py > ../NeuronQuant.Tests/Golden/packed_weights.json   (needs numpy and torch; made with the versions it names)
"""
import base64
import json

import numpy as np
import torch

SEED = 20260303
# name, quantization_config, out, in, symmetric
CASES = [
    ("auto-round int8, a scale a row", {"quant_method": "auto-round", "packing_format": "auto_round:auto_gptq", "bits": 8, "group_size": -1, "sym": True,
                                        "data_type": "int"}, 8, 32, True),
    ("auto-round under its first name", {"quant_method": "intel/auto-round", "bits": 8, "group_size": -1, "sym": True}, 12, 16, True),
    ("GPTQ, 4 bits in groups", {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": False, "desc_act": False}, 16, 96, False),
    ("GPTQ, 4 bits, second format", {"quant_method": "gptq", "checkpoint_format": "gptq_v2", "bits": 4, "group_size": 16, "sym": False}, 8, 48, False),
    ("GPTQ, 2 bits", {"quant_method": "gptq", "checkpoint_format": "gptq", "bits": 2, "group_size": 32, "desc_act": True}, 16, 64, False),
]


def pack(values, bits):
    """Along the first axis: [n, m] becomes [n * bits / 32, m]."""
    per_word = 32 // bits
    words = np.zeros((values.shape[0] // per_word, values.shape[1]), np.uint32)
    for i in range(per_word):
        words |= values[i::per_word].astype(np.uint32) << np.uint32(i * bits)
    return words


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


random = np.random.default_rng(SEED)
cases = []
for name, config, rows, columns, symmetric in CASES:
    bits, group = config["bits"], config["group_size"] if config["group_size"] > 0 else columns
    groups, top = columns // group, 2**bits
    codes = random.integers(0, top, (rows, columns))
    first = config.get("checkpoint_format") != "gptq_v2"
    zeros = np.full((groups, rows), top // 2) if symmetric else random.integers(1 if first else 0, top, (groups, rows))
    scales = random.uniform(0.001, 0.02, (groups, rows)).astype(np.float16)
    scales[0, 0] = -scales[0, 0]  # auto-round's are signed
    index = np.arange(columns) // group
    values = (codes - zeros[index].T).astype(np.float32) * scales[index].T.astype(np.float32)
    cases.append({
        "name": name, "config": config, "rows": rows, "columns": columns, "groups": groups, "codes": text(codes.astype(np.uint8)),
        "qweight": text(pack(codes.T, bits)), "qzeros": text(pack((zeros - (1 if first else 0)).T, bits).T), "scales": text(scales),
        "g_idx": text(index.astype(np.int32)), "bf16": text(torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy()),
    })
print('{"made_by": "tests/python/make_packed_golden.py", "numpy": "%s", "torch": "%s", "cases": [' % (np.__version__, torch.__version__))
print(",\n".join(json.dumps(case) for case in cases) + "\n]}")
