using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>The learned rounding of one channel as a reader would write it down: the twin of <see cref="RoundingKernels"/>.</summary>
/// <remarks>
/// x = w / s + V;   q = clamp(round half to even (x));   W^ = s * q. With G = dL/dW^ and "inside" for a code that the clamp did not move:
///   dL/dV = G * s where inside, else 0;   dL/ds = sum of G * (q - (w/s where inside, else 0)).
/// Rounding is passed straight through (Bengio et al., 2013; Cheng et al., "Optimize weight rounding via signed gradient descent", 2023).
/// The nxd grid multiplies by the float32 reciprocal of s, as NxDI does; autoround divides.
/// </remarks>
internal static class RoundingReference
{
    /// <summary>w / s in the arithmetic of the grid.</summary>
    public static float Ratio(float w, float scale, Grid grid) => grid.Signed ? w / scale : w * (1f / scale);

    /// <summary>The code of one weight.</summary>
    public static float Code(float w, float v, float scale, Grid grid) =>
        Math.Clamp(MathF.Round(Ratio(w, scale, grid) + v, MidpointRounding.ToEven), grid.Minimum, grid.Maximum);

    /// <summary>W^ of a channel. <paramref name="pinned"/> is the index of the pinned weight, or -1.</summary>
    public static void Forward(ReadOnlySpan<float> w, ReadOnlySpan<float> v, Span<float> quantized, ChannelScale channel, int pinned, Grid grid)
    {
        for (int i = 0; i < w.Length; i++) quantized[i] = channel.Scale * (i == pinned ? channel.PinnedCode : Code(w[i], v[i], channel.Scale, grid));
    }

    /// <summary>Fills dL/dV and returns dL/ds.</summary>
    public static float Gradients(ReadOnlySpan<float> w, ReadOnlySpan<float> v, ReadOnlySpan<float> g, Span<float> dv, ChannelScale channel, int pinned, Grid grid)
    {
        double ds = 0;
        for (int i = 0; i < w.Length; i++)
        {
            float ratio = Ratio(w[i], channel.Scale, grid), rounded = MathF.Round(ratio + v[i], MidpointRounding.ToEven);
            float code = i == pinned ? channel.PinnedCode : Math.Clamp(rounded, grid.Minimum, grid.Maximum);
            bool inside = i != pinned && code == rounded;
            dv[i] = inside ? g[i] * channel.Scale : 0;
            ds += (double)g[i] * (code - (inside ? ratio : 0));
        }
        return (float)ds;
    }
}
