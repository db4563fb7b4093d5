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
        ushort largest = 0;
        for (int lane = 0; lane < 32; lane++) largest = Math.Max(largest, best[lane]);
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
        var (minimum, maximum) = (float.PositiveInfinity, float.NegativeInfinity);
        foreach (var element in row)
        {
            float value = TElement.ToFloat(element);
            minimum = MathF.Min(minimum, value);
            maximum = MathF.Max(maximum, value);
        }
        return row.IsEmpty ? (0, 0) : (minimum, maximum);
    }

    /// <summary>codes = clamp(round-half-even(row * inverse), minimum, maximum).</summary>
    public static void Quantize<T, TElement>(ReadOnlySpan<T> row, float inverse, int minimum, int maximum, Span<sbyte> codes)
        where T : unmanaged where TElement : IElement<T>
    {
        ref T source = ref MemoryMarshal.GetReference(row);
        ref sbyte target = ref MemoryMarshal.GetReference(codes);
        var (factor, low, high) = (Vector512.Create(inverse), Vector512.Create((float)minimum), Vector512.Create((float)maximum));
        nuint i = 0, n = (nuint)row.Length;
        for (; i + 64 <= n; i += 64)
        {
            var (a, b) = TElement.Load(ref source, i);
            var (c, d) = TElement.Load(ref source, i + 32);
            TElement.Pack(Integers(a, factor, low, high), Integers(b, factor, low, high), Integers(c, factor, low, high), Integers(d, factor, low, high))
                .AsSByte().StoreUnsafe(ref target, i);
        }
        for (; i < n; i++)
            Unsafe.Add(ref target, i) = RowReference.Code(TElement.ToFloat(Unsafe.Add(ref source, i)) * inverse, minimum, maximum);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Integers(Vector512<float> values, Vector512<float> factor, Vector512<float> low, Vector512<float> high)
    {
        var clamped = Vector512.MinNative(Vector512.MaxNative(values * factor, low), high);
        return (clamped + Vector512.Create(Shifter)).AsInt32() - Vector512.Create(Shifter).AsInt32();
    }
}
