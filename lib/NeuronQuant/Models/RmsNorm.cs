using System.Numerics;
using System.Runtime.InteropServices;

namespace NeuronQuant.Models;

/// <summary>Root-mean-square normalisation: every token's vector is brought to mean square one, then scaled feature by feature.</summary>
/// <remarks>
/// Forward:   y = g * x * s, with s = 1 / sqrt(mean(x^2) + epsilon)
/// Backward:  dx += s * (g * dy) - x * s^3 / n * sum(g * dy * x);   dg += sum over tokens of dy * x * s
/// s is kept from forward. Source: Zhang and Sennrich, "Root mean square layer normalization", 2019; epsilon as in Hugging Face's Llama.
/// </remarks>
public static class RmsNorm
{
    /// <summary>Normalises all rows and keeps their s.</summary>
    /// <param name="x">[rows, width]</param>
    /// <param name="weight">[width]</param>
    /// <param name="y">[rows, width]</param>
    /// <param name="scales">[rows], filled with s</param>
    /// <param name="rows">tokens</param>
    /// <param name="epsilon">added to the mean square</param>
    public static void Forward(float[] x, float[] weight, float[] y, float[] scales, int rows, float epsilon)
    {
        int width = weight.Length;
        RowParts.Run(rows, (_, first, last) =>
        {
            for (int r = first; r < last; r++) scales[r] = Row(x.AsSpan(r * width, width), weight, y.AsSpan(r * width, width), epsilon);
        });
    }

    /// <summary>Normalises one row and returns its s.</summary>
    /// <param name="x">[width]</param>
    /// <param name="weight">[width]</param>
    /// <param name="y">[width]; may be x</param>
    /// <param name="epsilon">added to the mean square</param>
    public static float Row(ReadOnlySpan<float> x, ReadOnlySpan<float> weight, Span<float> y, float epsilon)
    {
        float scale = 1f / MathF.Sqrt(VectorMath.Dot(x, x) / x.Length + epsilon);
        ReadOnlySpan<Vector<float>> xs = MemoryMarshal.Cast<float, Vector<float>>(x), weights = MemoryMarshal.Cast<float, Vector<float>>(weight);
        var ys = MemoryMarshal.Cast<float, Vector<float>>(y);
        for (int i = 0; i < xs.Length; i++) ys[i] = weights[i] * (xs[i] * scale);
        for (int i = xs.Length * Vector<float>.Count; i < x.Length; i++) y[i] = weight[i] * (x[i] * scale);
        return scale;
    }

    /// <summary>Adds to dx and, unless it is null, to the weight's gradient.</summary>
    /// <param name="x">[rows, width], as in forward</param>
    /// <param name="weight">[width]</param>
    /// <param name="scales">[rows], from forward</param>
    /// <param name="dy">[rows, width]</param>
    /// <param name="dx">[rows, width], added to</param>
    /// <param name="dweight">[width], added to; null for none</param>
    /// <param name="rows">tokens</param>
    public static void Backward(float[] x, float[] weight, float[] scales, float[] dy, float[] dx, float[]? dweight, int rows)
    {
        int width = weight.Length;
        var partial = dweight is null ? [] : new float[RowParts.Count(rows) * width];
        RowParts.Run(rows, (part, first, last) =>
        {
            for (int r = first; r < last; r++)
            {
                var sums = dweight is null ? default : partial.AsSpan(part * width, width);
                BackwardRow(x.AsSpan(r * width, width), weight, scales[r], dy.AsSpan(r * width, width), dx.AsSpan(r * width, width), sums);
            }
        });
        if (dweight is null) return;
        for (int part = 0; part < RowParts.Count(rows); part++) VectorMath.AddScaled(dweight, partial.AsSpan(part * width, width), 1);
    }

    private static void BackwardRow(ReadOnlySpan<float> x, ReadOnlySpan<float> weight, float s, ReadOnlySpan<float> dy, Span<float> dx, Span<float> dweight)
    {
        float sum = 0;
        for (int i = 0; i < x.Length; i++) sum += weight[i] * dy[i] * x[i];
        float pull = s * s * s / x.Length * sum;
        for (int i = 0; i < x.Length; i++) dx[i] += s * weight[i] * dy[i] - pull * x[i];
        for (int i = 0; i < dweight.Length; i++) dweight[i] += dy[i] * x[i] * s;
    }
}
