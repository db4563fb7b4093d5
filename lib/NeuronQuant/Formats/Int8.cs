namespace NeuronQuant.Formats;

/// <summary>
/// An 8-bit integer as a number format: 256 equal steps of one, -128 to 127. Encoding rounds half to even and saturates; a NaN has no
/// code and is refused, infinities saturate. Scales belong to Quantization, not here.
/// </summary>
public static class Int8
{
    /// <summary>clamp(round-half-even(value), -128, 127).</summary>
    /// <exception cref="ArgumentException">value is NaN</exception>
    public static sbyte Encode(float value)
    {
        if (float.IsNaN(value)) throw new ArgumentException("NaN has no int8 code.", nameof(value));
        return (sbyte)Math.Clamp(MathF.Round(value, MidpointRounding.ToEven), -128f, 127f);
    }

    /// <summary>The integer as a float, exact.</summary>
    public static float Decode(sbyte code) => code;

    /// <summary>Encodes every value; <paramref name="codes"/> must be as long as <paramref name="values"/>.</summary>
    public static void Encode(ReadOnlySpan<float> values, Span<sbyte> codes)
    {
        Lengths.MustEqual(values.Length, codes.Length);
        for (int i = 0; i < values.Length; i++) codes[i] = Encode(values[i]);
    }

    /// <summary>Decodes every code; <paramref name="values"/> must be as long as <paramref name="codes"/>.</summary>
    public static void Decode(ReadOnlySpan<sbyte> codes, Span<float> values)
    {
        Lengths.MustEqual(codes.Length, values.Length);
        for (int i = 0; i < codes.Length; i++) values[i] = codes[i];
    }
}
