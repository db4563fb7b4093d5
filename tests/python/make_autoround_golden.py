"""Makes tests/NeuronQuant.Tests/Golden/autoround_block.json: AutoRound of one small decoder block by torch's autograd in float64.

The block, the straight-through rounding, the two grids, the loss and the signed descent are written here once more, with nothing shared
with the C# but the formulas. Numbers come from an integer generator that the C# test repeats.
usage: python3 make_autoround_golden.py > ../NeuronQuant.Tests/Golden/autoround_block.json   (needs torch; made with the version it names)
"""
import json
import math
import sys

import torch

HIDDEN, HEADS, KV_HEADS, HEAD, MIDDLE = 16, 2, 1, 8, 24
SAMPLES, LENGTH, BATCH, ITERATIONS, SEED = 6, 8, 4, 14, 42
SHAPES = {
    "self_attn.q_proj": (HEADS * HEAD, HIDDEN), "self_attn.k_proj": (KV_HEADS * HEAD, HIDDEN), "self_attn.v_proj": (KV_HEADS * HEAD, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HEADS * HEAD), "mlp.gate_proj": (MIDDLE, HIDDEN), "mlp.up_proj": (MIDDLE, HIDDEN), "mlp.down_proj": (HIDDEN, MIDDLE),
}
MASK64 = (1 << 64) - 1


class Generator:
    """A 64-bit linear congruential generator; a number is the centred sum of four 16-bit fields, times 2^-20."""

    def __init__(self, seed):
        self.state = seed

    def tensor(self, *shape, gain=1.0):
        values = []
        for _ in range(math.prod(shape)):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) & MASK64
            values.append((sum((self.state >> shift) & 0xFFFF for shift in (0, 16, 32, 48)) - 131070) * gain * 2.0**-20)
        return torch.tensor(values, dtype=torch.float64).reshape(shape)


class Sampler:
    """Fisher and Yates' shuffle on splitmix64; taken in turn, shuffled again when fewer than a batch remains."""

    def __init__(self, seed):
        self.state, self.order, self.next = seed, list(range(SAMPLES)), 0
        self.shuffle()

    def uniform(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK64
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
        return ((z ^ (z >> 31)) >> 11) * 2.0**-53

    def shuffle(self):
        for i in range(SAMPLES - 1, 0, -1):
            j = int(self.uniform() * (i + 1))
            self.order[i], self.order[j] = self.order[j], self.order[i]

    def batch(self):
        if self.next + BATCH > SAMPLES:
            self.shuffle()
            self.next = 0
        self.next += BATCH
        return self.order[self.next - BATCH:self.next]


def norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * weight


def rotate(x):
    frequencies = 10000.0 ** (-2.0 * torch.arange(HEAD // 2, dtype=torch.float64) / HEAD)
    angles = torch.arange(LENGTH, dtype=torch.float64)[:, None] * frequencies
    low, high = x[..., :HEAD // 2], x[..., HEAD // 2:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([low * cos - high * sin, high * cos + low * sin], -1)


def block(x, w, norms):
    n = norm(x, norms[0])
    heads = lambda t, count: t.reshape(x.shape[0], LENGTH, count, HEAD).transpose(1, 2)
    q = rotate(heads(n @ w["self_attn.q_proj"].T, HEADS))
    k = rotate(heads(n @ w["self_attn.k_proj"].T, KV_HEADS)).repeat_interleave(HEADS // KV_HEADS, 1)
    v = heads(n @ w["self_attn.v_proj"].T, KV_HEADS).repeat_interleave(HEADS // KV_HEADS, 1)
    scores = q @ k.transpose(-1, -2) / math.sqrt(HEAD)
    scores = scores.masked_fill(torch.ones(LENGTH, LENGTH).triu(1).bool(), float("-inf"))
    mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape[0], LENGTH, HEADS * HEAD)
    middle = x + mixed @ w["self_attn.o_proj"].T
    m = norm(middle, norms[1])
    return middle + (torch.nn.functional.silu(m @ w["mlp.gate_proj"].T) * (m @ w["mlp.up_proj"].T)) @ w["mlp.down_proj"].T


def straight(x, rounded):
    return (rounded - x).detach() + x


def quantize(w, v, alpha, beta, grid, bits):
    """(dequantized weight, codes, scale); differentiable in v, alpha and beta."""
    below, above = -w.amin(1).clamp(max=0) * alpha, w.amax(1).clamp(min=0) * beta
    if grid == "autoround":
        maximum = 2 ** (bits - 1)
        scale = torch.where(below > above, below, -above) / maximum
        x = w / scale[:, None] + v
        codes = straight(x, x.round()).clamp(-maximum, maximum - 1)
    else:
        maximum = 2 ** (bits - 1) - 1
        side = torch.where(below > above, below, above)
        scale = straight(side, side.to(torch.bfloat16).double()) / maximum
        x = w / scale[:, None] + v
        # NxD multiplies by the float32 reciprocal. bf16 weights over a bf16 maximum make exact ties, so this must be done as it does.
        in_float = w.float() * (1 / scale.detach().float())[:, None] + v.detach().float()
        codes = straight(x, in_float.round().double()).clamp(-maximum, maximum)
        row = torch.arange(w.shape[0])
        pinned = torch.zeros_like(codes).bool()
        pinned[row, torch.where(below > above, w.argmin(1), w.argmax(1))] = True
        codes = torch.where(pinned, torch.where(below > above, -maximum, maximum)[:, None].double().expand_as(codes), codes)
    return scale[:, None] * codes, codes, scale


def run(grid, bits, rate):
    generator = Generator(7)
    norms = [1 + generator.tensor(HIDDEN), 1 + generator.tensor(HIDDEN)]
    norms = [n.float().double() for n in norms]
    weights = {name: generator.tensor(*shape, gain=8).float().bfloat16().double() for name, shape in SHAPES.items()}
    original = generator.tensor(SAMPLES, LENGTH, HIDDEN, gain=32)
    inputs = original + generator.tensor(SAMPLES, LENGTH, HIDDEN, gain=1)
    inputs = inputs.float().double()
    counted = torch.ones(SAMPLES, LENGTH, 1, dtype=torch.float64)
    counted[:, LENGTH - 1] = 0
    counted[1, 5:] = 0
    targets = block(original, weights, norms)
    offsets = {name: torch.zeros_like(w, requires_grad=True) for name, w in weights.items()}
    factors = {name: [torch.ones(w.shape[0], dtype=torch.float64, requires_grad=True) for _ in range(2)] for name, w in weights.items()}
    sampler, losses, best = Sampler(SEED), [], (math.inf, 0, None)
    for iteration in range(ITERATIONS):
        for pair in factors.values():
            for factor in pair:
                factor.data.clamp_(0, 1)
        batch = sampler.batch()
        quantized = {name: quantize(w, offsets[name], *factors[name], grid, bits) for name, w in weights.items()}
        output = block(inputs[batch], {name: parts[0] for name, parts in quantized.items()}, norms)
        loss = (output * counted[batch] - targets[batch] * counted[batch]).pow(2).mean()
        losses.append(float(loss))
        if losses[-1] < best[0]:
            best = (losses[-1], iteration, {name: (parts[1].detach().round(), parts[2].detach()) for name, parts in quantized.items()})
        loss.backward()
        step = rate * (1 - iteration / ITERATIONS)
        for parameter in [*offsets.values(), *(f for pair in factors.values() for f in pair)]:
            parameter.data.add_(parameter.grad.sign(), alpha=-step)
            parameter.grad = None
    return {
        "grid": grid, "bits": bits, "rate": rate, "losses": losses, "best_iteration": best[1],
        "modules": [{"type": name, "codes": [int(c) for c in codes.flatten()], "scales": scales.tolist()}
                    for name, (codes, scales) in best[2].items()],
    }


json.dump({
    "made_by": "tests/python/make_autoround_golden.py", "torch": torch.__version__, "iterations": ITERATIONS,
    "cases": [run("nxd", 4, 0.02), run("autoround", 4, 0.02), run("nxd", 8, 0.004), run("autoround", 3, 0.03)],
}, sys.stdout)
print()
