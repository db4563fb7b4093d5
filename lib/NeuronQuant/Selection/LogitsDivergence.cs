using NeuronQuant.Models;
using static TorchSharp.torch;

namespace NeuronQuant.Selection;

/// <summary>KL divergence of predictions from logits, exact also where two models nearly agree.</summary>
/// <remarks>
/// KL(p || q) with logits z and z' = z + d: log sum p e^d - sum p d. Both terms are much larger than their difference, so d is first
/// centred by its mean under p, which leaves log(1 + sum p (e^d - 1 - d)): every term is positive and small, and int8's 1e-5 nats keep
/// their digits in float64 though logits are float32.
/// </remarks>
internal static class LogitsDivergence
{
    /// <summary>Sum over rows of KL(softmax(original) || softmax(changed)), nats.</summary>
    /// <param name="original">[..., vocabulary]</param>
    /// <param name="changed">[..., vocabulary]</param>
    public static double Sum(Tensor original, Tensor changed) => Torch.Run(() => Each(original, changed).sum().ToDouble());

    /// <summary>KL(softmax(original) || softmax(changed)) of each row, nats: [...] float64.</summary>
    /// <param name="original">[..., vocabulary]</param>
    /// <param name="changed">[..., vocabulary]</param>
    public static Tensor Each(Tensor original, Tensor changed)
    {
        var (z, p) = (original.to(ScalarType.Float64), original.to(ScalarType.Float64).softmax(-1));
        var d = changed.to(ScalarType.Float64) - z;
        d = d - (p * d).sum(-1, keepdim: true);
        return (p * (d.expm1() - d)).sum(-1).log1p();
    }
}
