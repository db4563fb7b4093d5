namespace NeuronQuant.Formats;

/// <summary>
/// The arithmetic that the two fp8 formats share. With bias b, m mantissa bits and exponent field e, a code is worth
/// 2^(e-b) * (1 + mantissa/2^m) when e > 0, and 2^(1-b) * mantissa/2^m when e = 0 (subnormal, equal steps down to zero).
/// </summary>
/// <remarks>
/// Encoding works on the magnitude. Adding a float whose spacing is the format's step makes the float adder itself round half to
/// even: for subnormals that float is a constant; for normals the same effect comes from adding half a step, less one, plus the lowest
/// kept bit to the float's integer image. Saturation is the caller's: the largest code differs (Neuron's e4m3 ends at 240, not 448).
/// </remarks>
internal static class SmallFloat
{
    /// <summary>The code of a finite, non-negative magnitude that is at most the format's largest value.</summary>
    public static byte EncodeMagnitude(float magnitude, int mantissaBits, int bias)
    {
        uint bits = BitConverter.SingleToUInt32Bits(magnitude);
        int smallestNormal = 1 - bias;
        if (bits < (uint)(127 + smallestNormal) << 23)
        {
            // 1.5 * 2^(smallestNormal - mantissaBits + 23) has exactly the subnormal step as its spacing.
            float shifter = MathF.ScaleB(1.5f, smallestNormal - mantissaBits + 23);
            return (byte)(BitConverter.SingleToUInt32Bits(magnitude + shifter) - BitConverter.SingleToUInt32Bits(shifter));
        }
        int cut = 23 - mantissaBits;
        uint rounded = (bits + (1u << (cut - 1)) - 1 + ((bits >> cut) & 1)) >> cut;
        return (byte)(rounded - ((uint)(127 - bias) << mantissaBits));
    }

    /// <summary>The value of a code whose sign bit is cleared, NaN and infinity rules left to the caller.</summary>
    public static float DecodeMagnitude(int code, int mantissaBits, int bias)
    {
        int exponent = code >> mantissaBits, mantissa = code & ((1 << mantissaBits) - 1);
        return exponent == 0
            ? MathF.ScaleB(mantissa, 1 - bias - mantissaBits)
            : MathF.ScaleB((1 << mantissaBits) + mantissa, exponent - bias - mantissaBits);
    }

    /// <summary>The 256 values of a format, by code.</summary>
    public static float[] Table(Func<byte, float> decode)
    {
        var table = new float[256];
        for (int code = 0; code < 256; code++) table[code] = decode((byte)code);
        return table;
    }
}
