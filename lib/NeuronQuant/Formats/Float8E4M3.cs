namespace NeuronQuant.Formats;

/// <summary>
/// fp8 e4m3: 1 sign, 4 exponent (bias 7) and 3 mantissa bits. Files use the OCP layout (float8_e4m3fn, up to 448), but the Neuron
/// hardware reads the top exponent as infinity and NaN, so what is written for it must end at +-240.
/// </summary>
/// <remarks>
/// Encode therefore rounds half to even and saturates at 0x77 / 0xF7 (+-240), infinities too; the codes 0x78-0x7F and 0xF8-0xFF are
/// never written, and a NaN, whose only codes are among them, is refused. Decode reads the OCP layout in full: 0x78-0x7E are 256-448
/// and 0x7F is NaN, so that a checkpoint from elsewhere is understood and its forbidden codes can be found.
/// Smallest step 2^-9, smallest normal 2^-6. Range: nxd quantization/quantization_config.py:24-62 (DtypeBound).
/// </remarks>
public static class Float8E4M3
{
    /// <summary>The largest magnitude that Neuron represents.</summary>
    public const float MaxValue = 240f;

    /// <summary>The magnitude code of <see cref="MaxValue"/>; a larger one is forbidden.</summary>
    public const byte MaxCode = 0x77;

    private static readonly float[] Values = SmallFloat.Table(DecodeOne);

    /// <summary>True when the code has a magnitude above 240 or is NaN: the hardware would read infinity or NaN.</summary>
    public static bool IsForbidden(byte code) => (code & 0x7F) > MaxCode;

    /// <summary>The nearest code within +-240, ties to even.</summary>
    /// <exception cref="ArgumentException">value is NaN</exception>
    public static byte Encode(float value)
    {
        if (float.IsNaN(value)) throw new ArgumentException("NaN has no code in Neuron's e4m3 range.", nameof(value));
        byte magnitude = SmallFloat.EncodeMagnitude(MathF.Min(MathF.Abs(value), MaxValue), mantissaBits: 3, bias: 7);
        return (byte)(magnitude | (float.IsNegative(value) ? 0x80 : 0));
    }

    /// <summary>The value of a code in the OCP layout.</summary>
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
        float magnitude = (code & 0x7F) == 0x7F ? float.NaN : SmallFloat.DecodeMagnitude(code & 0x7F, mantissaBits: 3, bias: 7);
        return code >= 0x80 ? -magnitude : magnitude;
    }
}
