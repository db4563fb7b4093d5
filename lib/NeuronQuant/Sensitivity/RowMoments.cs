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
/// float64 to about 1e-6 relative. The slow twin is <see cref="Reference"/>. It also takes the rows whose fourth powers float32 cannot hold:
/// beyond 2^24 a sum of them may overflow, below 2^-24 they drown among the smallest numbers.
/// </remarks>
internal static class RowMoments
{
    private const float Largest = 1 << 24, Smallest = 1f / (1 << 24); // 2^96 for each of 2^24 weights, and 2^-96 above the smallest normal number, 2^-126

    private const float Shifter = 12582912f; // 1.5 * 2^23: the float adder rounds to integers, half to even

    public static RowSums Fast<T, TElement>(ReadOnlySpan<T> row, Grid grid) where T : unmanaged where TElement : IElement<T>
    {
        var (sum, absoluteMaximum) = SumAndMaximum<T, TElement>(row);
        if (!float.IsFinite(absoluteMaximum)) return new RowSums(double.NaN, absoluteMaximum, 0, 0, 0);
        if (absoluteMaximum is > Largest or (> 0 and < Smallest)) return Reference(Decoded<T, TElement>(row), grid);
        double mean = sum / row.Length;
        var (squares, fourths, errors) = Central<T, TElement>(row, (float)mean, grid.Scale(-absoluteMaximum, absoluteMaximum));
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

    private static float[] Decoded<T, TElement>(ReadOnlySpan<T> row) where T : unmanaged where TElement : IElement<T>
    {
        var values = new float[row.Length];
        for (int i = 0; i < row.Length; i++) values[i] = TElement.ToFloat(row[i]);
        return values;
    }

    // The magnitudes order as their integer images do, with infinity and NaN on top.
    private static (double Sum, float AbsoluteMaximum) SumAndMaximum<T, TElement>(ReadOnlySpan<T> row) where T : unmanaged where TElement : IElement<T>
    {
        ref T first = ref MemoryMarshal.GetReference(row);
        var magnitude = Vector512.Create(0x7FFF_FFFFu);
        Vector512<float> a = default, b = default;
        Vector512<uint> most = default, more = default;
        nuint i = 0, n = (nuint)row.Length;
        for (; i + 32 <= n; i += 32)
        {
            var (w, v) = TElement.Load(ref first, i);
            (a, b) = (a + w, b + v);
            (most, more) = (Vector512.Max(most, w.AsUInt32() & magnitude), Vector512.Max(more, v.AsUInt32() & magnitude));
        }
        double sum = Join(a) + Join(b);
        uint largest = 0;
        most = Vector512.Max(most, more);
        for (int lane = 0; lane < 16; lane++) largest = Math.Max(largest, most[lane]);
        for (; i < n; i++)
        {
            float w = TElement.ToFloat(Unsafe.Add(ref first, i));
            (sum, largest) = (sum + w, Math.Max(largest, BitConverter.SingleToUInt32Bits(w) & 0x7FFF_FFFF));
        }
        return (sum, BitConverter.UInt32BitsToSingle(largest));
    }

    private static (double Squares, double Fourths, double Errors) Central<T, TElement>(ReadOnlySpan<T> row, float mean, float scale)
        where T : unmanaged where TElement : IElement<T>
    {
        ref T first = ref MemoryMarshal.GetReference(row);
        float inverse = 1f / scale;
        var (center, factor, step, shifter) = (Vector512.Create(mean), Vector512.Create(inverse), Vector512.Create(-scale), Vector512.Create(Shifter));
        Vector512<float> squares = default, fourths = default, errors = default, squares2 = default, fourths2 = default, errors2 = default;
        nuint i = 0, n = (nuint)row.Length;
        for (; i + 32 <= n; i += 32)
        {
            var (w, v) = TElement.Load(ref first, i);
            var (d, c) = (w - center, v - center);
            // On NxD's grid |w/s| never rounds beyond the largest code, so no clamp is needed here.
            var (q, p) = (w * factor + shifter - shifter, v * factor + shifter - shifter);
            var (e, f) = (Vector512.FusedMultiplyAdd(q, step, w), Vector512.FusedMultiplyAdd(p, step, v));
            (d, c) = (d * d, c * c);
            (squares, squares2) = (squares + d, squares2 + c);
            (fourths, fourths2) = (Vector512.FusedMultiplyAdd(d, d, fourths), Vector512.FusedMultiplyAdd(c, c, fourths2));
            (errors, errors2) = (Vector512.FusedMultiplyAdd(e, e, errors), Vector512.FusedMultiplyAdd(f, f, errors2));
        }
        double sumSquares = Join(squares) + Join(squares2), sumFourths = Join(fourths) + Join(fourths2), sumErrors = Join(errors) + Join(errors2);
        for (; i < n; i++)
        {
            float w = TElement.ToFloat(Unsafe.Add(ref first, i)), d = w - mean;
            double error = w - (double)scale * MathF.Round(w * inverse, MidpointRounding.ToEven);
            sumSquares += (double)d * d;
            sumFourths += (double)d * d * d * d;
            sumErrors += error * error;
        }
        return (sumSquares, sumFourths, sumErrors);
    }

    private static double Join(Vector512<float> lanes)
    {
        double sum = 0;
        for (int lane = 0; lane < 16; lane++) sum += lanes[lane];
        return sum;
    }
}
