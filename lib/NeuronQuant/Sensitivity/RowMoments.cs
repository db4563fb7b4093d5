using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using NeuronQuant.Quantization;

namespace NeuronQuant.Sensitivity;

/// <summary>The sums over one row from which every metric follows. Sums are over n weights; d = w - mean, e = w - s*q.</summary>
internal record struct RowSums(double Mean, double AbsoluteMaximum, double SquaredDeviations, double FourthPowers, double SquaredErrors);

/// <summary>
/// Two readings of a row, the second from the cache: first the sum and the largest magnitude, then, with mean and int8 scale known, the
/// sums of d^2, d^4 and e^2. Central moments taken this way do not cancel, as sums of w^2 minus n*mean^2 would.
/// </summary>
/// <remarks>
/// Sixteen float32 lanes with two accumulators each, joined in float64 at the end of a row: for rows of 14336 weights the sums agree with
/// float64 to about 1e-6 relative. The slow twin is <see cref="Reference"/>.
/// </remarks>
internal static class RowMoments
{
    private const float Shifter = 12582912f; // 1.5 * 2^23: the float adder rounds to integers, half to even

    public static RowSums Fast<T, TElement>(ReadOnlySpan<T> row, float absoluteMaximum, Grid grid) where T : unmanaged where TElement : IElement<T>
    {
        double mean = Sum<T, TElement>(row) / row.Length;
        float scale = grid.Scale(-absoluteMaximum, absoluteMaximum);
        var (squares, fourths, errors) = Central<T, TElement>(row, (float)mean, scale);
        double off = mean - (float)mean;
        return new RowSums(mean, absoluteMaximum, squares - row.Length * off * off, fourths, errors);
    }

    /// <summary>The same in float64, a weight at a time.</summary>
    public static RowSums Reference(ReadOnlySpan<float> row, Grid grid)
    {
        double sum = 0, squares = 0, fourths = 0, errors = 0;
        float maximum = 0;
        foreach (float w in row) (sum, maximum) = (sum + w, MathF.Max(maximum, MathF.Abs(w)));
        float scale = grid.Scale(-maximum, maximum);
        double mean = sum / row.Length;
        foreach (float w in row)
        {
            double d = w - mean, e = w - (double)scale * (sbyte)RowReference.Code(w, scale, grid);
            (squares, fourths, errors) = (squares + d * d, fourths + d * d * d * d, errors + e * e);
        }
        return new RowSums(mean, maximum, squares, fourths, errors);
    }

    private static double Sum<T, TElement>(ReadOnlySpan<T> row) where T : unmanaged where TElement : IElement<T>
    {
        ref T first = ref MemoryMarshal.GetReference(row);
        var (a, b) = (Vector512<float>.Zero, Vector512<float>.Zero);
        nuint i = 0, n = (nuint)row.Length;
        for (; i + 32 <= n; i += 32)
        {
            a += TElement.Load(ref first, i);
            b += TElement.Load(ref first, i + 16);
        }
        double sum = Join(a) + Join(b);
        for (; i < n; i++) sum += TElement.ToFloat(Unsafe.Add(ref first, i));
        return sum;
    }

    private static (double Squares, double Fourths, double Errors) Central<T, TElement>(ReadOnlySpan<T> row, float mean, float scale)
        where T : unmanaged where TElement : IElement<T>
    {
        ref T first = ref MemoryMarshal.GetReference(row);
        float inverse = 1f / scale;
        var (center, factor, step) = (Vector512.Create(mean), Vector512.Create(inverse), Vector512.Create(scale));
        var (squares, fourths, errors) = (Vector512<float>.Zero, Vector512<float>.Zero, Vector512<float>.Zero);
        var (squares2, fourths2, errors2) = (Vector512<float>.Zero, Vector512<float>.Zero, Vector512<float>.Zero);
        nuint i = 0, n = (nuint)row.Length;
        for (; i + 32 <= n; i += 32)
        {
            Add(TElement.Load(ref first, i), center, factor, step, ref squares, ref fourths, ref errors);
            Add(TElement.Load(ref first, i + 16), center, factor, step, ref squares2, ref fourths2, ref errors2);
        }
        double s = Join(squares) + Join(squares2), f = Join(fourths) + Join(fourths2), e = Join(errors) + Join(errors2);
        for (; i < n; i++)
        {
            float w = TElement.ToFloat(Unsafe.Add(ref first, i)), d = w - mean;
            double error = w - (double)scale * MathF.Round(w * inverse, MidpointRounding.ToEven);
            (s, f, e) = (s + (double)d * d, f + (double)d * d * d * d, e + error * error);
        }
        return (s, f, e);
    }

    // On NxD's grid |w/s| never rounds beyond the largest code, so no clamp is needed here.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(
        Vector512<float> w, Vector512<float> mean, Vector512<float> inverse, Vector512<float> scale,
        ref Vector512<float> squares, ref Vector512<float> fourths, ref Vector512<float> errors)
    {
        var d = w - mean;
        var d2 = d * d;
        squares += d2;
        fourths = Vector512.FusedMultiplyAdd(d2, d2, fourths);
        var q = Vector512.FusedMultiplyAdd(w, inverse, Vector512.Create(Shifter)) - Vector512.Create(Shifter);
        var e = Vector512.FusedMultiplyAdd(-q, scale, w);
        errors = Vector512.FusedMultiplyAdd(e, e, errors);
    }

    private static double Join(Vector512<float> lanes)
    {
        double sum = 0;
        for (int lane = 0; lane < 16; lane++) sum += lanes[lane];
        return sum;
    }
}
