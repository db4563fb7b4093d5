using static TorchSharp.torch;

namespace NeuronQuant.Tensors;

/// <summary>An 8-bit float that values are cast to one by one, without a scale: what an fp8 cache does to keys and values.</summary>
/// <remarks>
/// A value between 2^e and 2^(e+1) moves to the nearest multiple of 2^(e - m), ties to even; below the smallest normal number, 2^(1 - bias), steps stay
/// as they are there. What is larger than the largest number becomes it. The last is a kindness of this simulation: NxD Inference casts
/// without a clamp (modules/kvcache/kv_cache_manager.py:670-692 of its 2.28), and a value above 240 would be read as infinity or NaN by the
/// hardware; so such values are counted, see <c>CacheRange</c>.
/// The error is relative, about 2.6 % rms for e4m3 and 5.3 % for e5m2, whatever the scale of the values. So a scale helps against overflow, and where
/// values are so small that most fall below the smallest normal number; between the two it changes nothing.
/// </remarks>
/// <param name="Name">what tables call it</param>
/// <param name="MantissaBits">m</param>
/// <param name="Bias">of the exponent</param>
/// <param name="Largest">largest magnitude</param>
public sealed record CastFormat(string Name, int MantissaBits, int Bias, double Largest)
{
    /// <summary>e4m3 as Neuron's hardware reads it: up to 240.</summary>
    public static CastFormat E4M3 { get; } = new("e4m3", 3, 7, Formats.Float8E4M3.MaxValue);

    /// <summary>e4m3 of the Open Compute Project, as GPUs have it: up to 448.</summary>
    public static CastFormat E4M3Ocp { get; } = new("e4m3 (OCP, 448)", 3, 7, 448);

    /// <summary>e5m2: a wider range, and a bit less of precision.</summary>
    public static CastFormat E5M2 { get; } = new("e5m2", 2, 15, Formats.Float8E5M2.MaxValue);

    /// <summary>The nearest numbers of the format, of the same shape and type.</summary>
    /// <param name="x">any shape; float32, float64 or bfloat16, all of which hold every number of the format</param>
    public Tensor Round(Tensor x)
    {
        ArgumentNullException.ThrowIfNull(x);
        var wide = x.dtype == ScalarType.BFloat16 ? x.to(ScalarType.Float32) : x;
        var within = wide.clamp(Torch.Number(-Largest), Torch.Number(Largest));
        // frexp's fraction is in [0.5, 1), so its exponent is one more than floor(log2).
        var exponent = within.frexp().Exponent.clamp_min_(Torch.Whole(2 - Bias)) - Torch.Whole(1 + MantissaBits);
        var step = ones_like(within).ldexp(exponent);
        return (within / step).round_().mul_(step).to(x.dtype);
    }
}
