using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace NeuronQuant.Quantization;

/// <summary>
/// The loops over one row of a weight: its largest magnitude, its extremes, and its integer codes. A row is read twice, but it is some
/// tens of kilobytes, so the second reading comes from the cache and the pass costs one reading of memory.
/// </summary>
/// <remarks>
/// The largest magnitude is found on the integer images with the sign bit cleared: they order as the magnitudes do, and infinity and NaN
/// come out on top, so a row with a weight that is not finite is noticed at no cost. Rounding half to even is done by the float adder:
/// x + 1.5*2^23 has a spacing of one, and its low bits are the integer. The slow twin of this file is <see cref="RowReference"/>.
/// </remarks>
internal static class RowKernels
{
    private const float Shifter = 12582912f; // 1.5 * 2^23

    public static float AbsoluteMaximum(ReadOnlySpan<ushort> row)
    {
        ref ushort first = ref MemoryMarshal.GetReference(row);
        var mask = Vector512.Create((ushort)0x7FFF);
        var (best, second) = (Vector512<ushort>.Zero, Vector512<ushort>.Zero);
        nuint i = 0, n = (nuint)row.Length;
        for (; i + 64 <= n; i += 64)
        {
            best = Vector512.Max(best, Vector512.LoadUnsafe(ref first, i) & mask);
            second = Vector512.Max(second, Vector512.LoadUnsafe(ref first, i + 32) & mask);
        }
        best = Vector512.Max(best, second);
        var half = Vector256.Max(best.GetLower(), best.GetUpper());
        var quarter = Vector128.Max(half.GetLower(), half.GetUpper()); // Halving first: a group of 64 weights would wait for 32 lanes.
        ushort largest = 0;
        for (int lane = 0; lane < 8; lane++) largest = Math.Max(largest, quarter[lane]);
        for (; i < n; i++) largest = Math.Max(largest, (ushort)(Unsafe.Add(ref first, i) & 0x7FFF));
        return Bf16Element.ToFloat(largest);
    }

    public static float AbsoluteMaximum(ReadOnlySpan<float> row)
    {
        ref uint first = ref Unsafe.As<float, uint>(ref MemoryMarshal.GetReference(row));
        var mask = Vector512.Create(0x7FFF_FFFFu);
        var best = Vector512<uint>.Zero;
        nuint i = 0, n = (nuint)row.Length;
        for (; i + 16 <= n; i += 16) best = Vector512.Max(best, Vector512.LoadUnsafe(ref first, i) & mask);
        uint largest = 0;
        for (int lane = 0; lane < 16; lane++) largest = Math.Max(largest, best[lane]);
        for (; i < n; i++) largest = Math.Max(largest, Unsafe.Add(ref first, i) & 0x7FFF_FFFF);
        return BitConverter.UInt32BitsToSingle(largest);
    }

    /// <summary>The smallest and the largest weight of a row of finite weights.</summary>
    public static (float Minimum, float Maximum) Extremes<T, TElement>(ReadOnlySpan<T> row) where T : unmanaged where TElement : IElement<T>
    {
        if (row.IsEmpty) return (0, 0);
        ref T first = ref MemoryMarshal.GetReference(row);
        var (least, most) = (Vector512.Create(float.PositiveInfinity), Vector512.Create(float.NegativeInfinity));
        nuint i = 0, n = (nuint)row.Length;
        for (; i + 32 <= n; i += 32)
        {
            var (a, b) = TElement.Load(ref first, i);
            least = Vector512.MinNative(least, Vector512.MinNative(a, b));
            most = Vector512.MaxNative(most, Vector512.MaxNative(a, b));
        }
        var (minimum, maximum) = (float.PositiveInfinity, float.NegativeInfinity);
        var low = Vector256.MinNative(least.GetLower(), least.GetUpper());
        var high = Vector256.MaxNative(most.GetLower(), most.GetUpper());
        for (int lane = 0; lane < 8; lane++) (minimum, maximum) = (MathF.Min(minimum, low[lane]), MathF.Max(maximum, high[lane]));
        for (; i < n; i++)
        {
            float value = TElement.ToFloat(Unsafe.Add(ref first, i));
            (minimum, maximum) = (MathF.Min(minimum, value), MathF.Max(maximum, value));
        }
        return (minimum, maximum);
    }

    /// <summary>codes = clamp(round-half-even(row * inverse) + zero, minimum, maximum).</summary>
    public static void Quantize<T, TElement>(ReadOnlySpan<T> row, float inverse, int minimum, int maximum, Span<sbyte> codes, int zero = 0)
        where T : unmanaged where TElement : IElement<T>
    {
        ref T source = ref MemoryMarshal.GetReference(row);
        ref sbyte target = ref MemoryMarshal.GetReference(codes);
        var bounds = new Bounds(inverse, minimum - zero, maximum - zero, zero);
        nuint i = 0, n = (nuint)row.Length;
        for (; i + 64 <= n; i += 64)
        {
            var (a, b) = TElement.Load(ref source, i);
            var (c, d) = TElement.Load(ref source, i + 32);
            TElement.Pack(bounds.Integers(a), bounds.Integers(b), bounds.Integers(c), bounds.Integers(d)).AsSByte().StoreUnsafe(ref target, i);
        }
        for (; i < n; i++)
            Unsafe.Add(ref target, i) = (sbyte)(zero + Math.Clamp(
                MathF.Round(TElement.ToFloat(Unsafe.Add(ref source, i)) * inverse, MidpointRounding.ToEven), minimum - zero, maximum - zero));
    }

    // Clamping before the zero point is added is the same, and the zero point costs nothing: it is in the number that takes the shift away.
    private readonly struct Bounds(float inverse, int low, int high, int zero)
    {
        private readonly Vector512<float> _factor = Vector512.Create(inverse);
        private readonly Vector512<float> _low = Vector512.Create((float)low), _high = Vector512.Create((float)high);
        private readonly Vector512<int> _shift = Vector512.Create(BitConverter.SingleToInt32Bits(Shifter) - zero);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector512<int> Integers(Vector512<float> values) =>
            (Vector512.MinNative(Vector512.MaxNative(values * _factor, _low), _high) + Vector512.Create(Shifter)).AsInt32() - _shift;
    }
}
