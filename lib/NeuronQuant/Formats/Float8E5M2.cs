namespace NeuronQuant.Formats;

/// <summary>
/// fp8 e5m2: 1 sign, 5 exponent (bias 15) and 2 mantissa bits; the upper half of an IEEE half-precision number. Largest finite value
/// 57344, smallest step 2^-16.
/// </summary>
/// <remarks>
/// Encode rounds half to even and saturates at 0x7B / 0xFB, infinities too, because NxD clamps before it casts; a NaN becomes 0x7F
/// with its sign, as in torch. Decode follows IEEE: 0x7C is infinity, 0x7D-0x7F are NaN.
/// </remarks>
public static class Float8E5M2
{
    /// <summary>The largest finite magnitude.</summary>
    public const float MaxValue = 57344f;

    private static readonly float[] Values = SmallFloat.Table(DecodeOne);

    /// <summary>The nearest finite code, ties to even; NaN becomes NaN.</summary>
    public static byte Encode(float value)
    {
        int sign = float.IsNegative(value) ? 0x80 : 0;
        if (float.IsNaN(value)) return (byte)(sign | 0x7F);
        return (byte)(sign | SmallFloat.EncodeMagnitude(MathF.Min(MathF.Abs(value), MaxValue), mantissaBits: 2, bias: 15));
    }

    /// <summary>The value of a code.</summary>
    public static float Decode(byte code) => Values[code];

    /// <summary>Encodes every value; <paramref name="codes"/> must be as long as <paramref name="values"/>.</summary>
    public static void Encode(ReadOnlySpan<float> values, Span<byte> codes)
    {
        Lengths.MustEqual(values.Length, codes.Length);
        for (int i = 0; i < values.Length; i++) codes[i] = Encode(values[i]);
    }

    /// <summary>Decodes every code; <paramref name="values"/> must be as long as <paramref name="codes"/>.</summary>
    public static void Decode(ReadOnlySpan<byte> codes, Span<float> values)
    {
        Lengths.MustEqual(codes.Length, values.Length);
        for (int i = 0; i < codes.Length; i++) values[i] = Values[codes[i]];
    }

    private static float DecodeOne(byte code)
    {
        int magnitude = code & 0x7F;
        float value = magnitude > 0x7C ? float.NaN
            : magnitude == 0x7C ? float.PositiveInfinity
            : SmallFloat.DecodeMagnitude(magnitude, mantissaBits: 2, bias: 15);
        return code >= 0x80 ? -value : value;
    }
}
