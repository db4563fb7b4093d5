"""Makes tests/NeuronQuant.Tests/Golden/methods.json: clipping and HQQ in float64, written down from their formulas in numpy.

Clipping: scale = p * extreme / divisor for p = 1, 0.99 ... 0.2, error = sum |w - w^|^2.4, the first smallest wins. HQQ: p 0.7, beta 10 growing by 1.01,
at most 20 iterations, from the scale and the rounded zero point of the extremes; it stops at the first iteration that does not lower mean |w - w^|
over the whole weight. Weights are normal or student-t of 4 degrees of freedom, as float32 in base64.
usage: /usr/bin/python3 make_methods_golden.py > ../NeuronQuant.Tests/Golden/methods.json   (needs numpy; made with the version it names)
"""
import base64
import json

import numpy as np

SEED = 20260202
FACTORS = [1 - step * 0.8 / 80 for step in range(81)]


def codes_of(w, scale, zero, low, high):
    return np.clip(np.rint(w / scale + zero), low, high)


def scaling(part, bits, asymmetric, factor=1.0):
    """Scale and zero point of the extremes, each shrunk; float32 where the library's are, since the scale is stored so."""
    low, high = min(part.min(), 0.0) * factor, max(part.max(), 0.0) * factor
    if not asymmetric:
        top = 2 ** (bits - 1) - 1
        return np.float64(np.float32(max(-low, high)) / np.float32(top)), 0.0, -top, top
    first, last = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = np.float64((np.float32(high) - np.float32(low)) / np.float32(2**bits - 1))
    return scale, float(np.clip(first - np.rint(low / scale), first, last)), first, last


def clip(groups, bits, asymmetric):
    factors, least, rounded = [], 0.0, 0.0
    for part in groups:
        errors = []
        for factor in FACTORS:
            scale, zero, low, high = scaling(part, bits, asymmetric, factor)
            q = np.clip(np.rint(part / scale) + zero, low, high)
            errors.append(float((np.abs(part - scale * (q - zero)) ** 2.4).sum()))
        best = int(np.argmin(errors))
        factors.append(FACTORS[best])
        least, rounded = least + errors[best], rounded + errors[0]
    return {"factors": factors, "error": least, "rounded_error": rounded}


def hqq(groups, bits, power=0.7, beta=10.0, growth=1.01, iterations=20):
    start = [scaling(part, bits, True) for part in groups]
    scales, zeros = [s[0] for s in start], [s[1] for s in start]
    low, high = start[0][2:]
    count = sum(len(part) for part in groups)

    def mean_error(zeros):
        return sum(np.abs(p - s * (codes_of(p, s, z, low, high) - z)).sum() for p, s, z in zip(groups, scales, zeros)) / count

    first = least = mean_error(zeros)
    done = 0
    while done < iterations:
        following = []
        for part, scale, zero in zip(groups, scales, zeros):
            q = codes_of(part, scale, zero, low, high)
            e = part - scale * (q - zero)
            with np.errstate(divide="ignore"):
                shrunk = np.sign(e) * np.maximum(0, np.abs(e) - np.where(e == 0, np.inf, np.abs(e) ** (power - 1)) / beta)
            following.append(float(np.mean(q - (part - shrunk) / scale)))
        error = mean_error(following)
        if not error < least:
            break
        zeros, least, beta, done = following, error, beta * growth, done + 1
    return {"zeros": zeros, "iterations": done, "error": float(least), "first_error": float(first)}


random = np.random.default_rng(SEED)
cases = []
for name, rows, columns, bits, group, heavy in [("normal", 4, 256, 4, 64, False), ("heavy tails", 3, 200, 3, 64, True),
                                                ("rows", 5, 130, 4, None, True), ("2 bits", 3, 128, 2, 32, False), ("large weights", 3, 192, 4, 64, False)]:
    w = random.standard_t(4, (rows, columns)) if heavy else random.standard_normal((rows, columns))
    w = (w * (1.5 if name == "large weights" else 0.02)).astype(np.float32)
    groups = [row[i:i + (group or columns)].astype(np.float64) for row in w for i in range(0, columns, group or columns)]
    cases.append({"name": name, "rows": rows, "columns": columns, "bits": bits, "group": group, "weights": base64.b64encode(w.tobytes()).decode(),
                  "clipping": clip(groups, bits, False), "asymmetric_clipping": clip(groups, bits, True), "hqq": hqq(groups, bits)})
print('{"made_by": "tests/python/make_methods_golden.py", "numpy": "%s", "cases": [' % np.__version__)
print(",\n".join(json.dumps(case) for case in cases) + "\n]}")
