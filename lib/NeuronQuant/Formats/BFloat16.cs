using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace NeuronQuant.Formats;

/// <summary>
/// bfloat16 is a float32 with its lower 16 bits cut off: 1 sign, 8 exponent and 7 mantissa bits, 8 significant bits in all.
/// Decoding is a shift and exact. Encoding rounds half to even by adding 0x7FFF plus the lowest kept bit before the cut.
/// </summary>
/// <remarks>
/// The largest finite value is 3.3895e38; what rounds above it becomes infinity, infinities stay, and a NaN stays a NaN of the same
/// sign, made quiet. The spacing just above a power of two p is p*2^-7, so the worst relative rounding error is 2^-8, and it falls to
/// 2^-9 just below the next power. Formula: the rounding of torch's c10/util/BFloat16.h, round_to_nearest_even.
/// </remarks>
public static class BFloat16
{
    /// <summary>The nearest bfloat16 code, ties to the even code.</summary>
    public static ushort Encode(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if ((bits & 0x7FFF_FFFF) > 0x7F80_0000) return (ushort)((bits >> 16) | 0x40);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>The exact value of a code.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Decode(ushort code) => BitConverter.UInt32BitsToSingle((uint)code << 16);

    /// <summary>The value rounded to bfloat16 and back.</summary>
    public static float Round(float value) => Decode(Encode(value));

    /// <summary>Encodes every value; <paramref name="codes"/> must be as long as <paramref name="values"/>.</summary>
    public static void Encode(ReadOnlySpan<float> values, Span<ushort> codes)
    {
        Lengths.MustEqual(values.Length, codes.Length);
        int i = 0;
        if (Vector512.IsHardwareAccelerated)
            for (; i <= values.Length - 32; i += 32)
                Vector512.Narrow(EncodeBits(Vector512.Create(values[i..])), EncodeBits(Vector512.Create(values[(i + 16)..]))).CopyTo(codes[i..]);
        for (; i < values.Length; i++) codes[i] = Encode(values[i]);
    }

    /// <summary>Decodes every code; <paramref name="values"/> must be as long as <paramref name="codes"/>.</summary>
    public static void Decode(ReadOnlySpan<ushort> codes, Span<float> values)
    {
        Lengths.MustEqual(codes.Length, values.Length);
        var bits = MemoryMarshal.Cast<float, uint>(values);
        int i = 0;
        for (; i <= codes.Length - Vector<ushort>.Count; i += Vector<ushort>.Count)
        {
            Vector.Widen(new Vector<ushort>(codes[i..]), out var low, out var high);
            (low << 16).CopyTo(bits[i..]);
            (high << 16).CopyTo(bits[(i + Vector<uint>.Count)..]);
        }
        for (; i < codes.Length; i++) values[i] = Decode(codes[i]);
    }

    private static Vector512<uint> EncodeBits(Vector512<float> values)
    {
        var bits = values.AsUInt32();
        var rounded = (bits + Vector512.Create(0x7FFFu) + ((bits >>> 16) & Vector512<uint>.One)) >>> 16;
        var quiet = (bits >>> 16) | Vector512.Create(0x40u);
        return Vector512.ConditionalSelect(Vector512.Equals(values, values).AsUInt32(), rounded, quiet);
    }
}
