using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Selection;

/// <summary>KL divergence of predictions from logits, exact also where two models nearly agree.</summary>
/// <remarks>
/// KL(p || q) with logits z and z' = z + d: log sum p e^d - sum p d. Both terms are much larger than their difference, so d is first
/// centred by its mean under p, which leaves log(1 + sum p (e^d - 1 - d)): every term is positive and small, and int8's 1e-5 nats keep
/// their digits in float64 though logits are float32. Rows are taken in parts that stay in the processor's caches.
/// </remarks>
internal static class LogitsDivergence
{
    private const long PartValues = 1 << 16; // Half a megabyte of float64.

    /// <summary>Sum over rows of KL(softmax(original) || softmax(changed)), nats.</summary>
    /// <param name="original">[..., vocabulary]</param>
    /// <param name="changed">[..., vocabulary]</param>
    public static double Sum(Tensor original, Tensor changed) => Torch.Run(() => Each(original, changed).sum().ToDouble());

    /// <summary>KL(softmax(original) || softmax(changed)) of each row, nats: [...] float64.</summary>
    /// <param name="original">[..., vocabulary]</param>
    /// <param name="changed">[..., vocabulary]</param>
    public static Tensor Each(Tensor original, Tensor changed)
    {
        var result = empty(original.shape[..^1], ScalarType.Float64, original.device);
        var (flat, rows) = (result.view(-1), Math.Max(1, PartValues / original.shape[^1]));
        Tensor Part(Tensor all, long first, long count) => all.reshape(-1, original.shape[^1]).narrow(0, first, count).to(ScalarType.Float64);
        for (long first = 0; first < flat.shape[0]; first += rows)
        {
            using var scope = NewDisposeScope();
            long count = Math.Min(rows, flat.shape[0] - first);
            var z = Part(original, first, count);
            var (p, d) = (z.softmax(-1), Part(changed, first, count) - z);
            d.sub_((p * d).sum(-1, keepdim: true));
            flat.narrow(0, first, count).copy_(p.mul_(d.expm1().sub_(d)).sum(-1).log1p());
        }
        return result;
    }
}
