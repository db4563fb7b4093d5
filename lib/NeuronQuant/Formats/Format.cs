namespace NeuronQuant.Formats;

/// <summary>The number format in which a module's weight is stored on the device.</summary>
public enum Format
{
    /// <summary>bfloat16: 8 exponent bits, 7 mantissa bits; what an unquantized module keeps.</summary>
    Bf16,

    /// <summary>Two's complement 8-bit integer.</summary>
    Int8,

    /// <summary>fp8 e4m3 in Neuron's range, +-240: codes 0x78-0x7F and 0xF8-0xFF are never written.</summary>
    F8E4M3,

    /// <summary>fp8 e5m2, +-57344.</summary>
    F8E5M2,
}

/// <summary>What NxD Inference calls a format, and how wide it is.</summary>
public static class FormatNames
{
    /// <summary>
    /// The literal of NxDI's <c>quantization_dtype</c> (and <c>bfloat16</c> for what stays unquantized). NxDI compares the fp8
    /// spelling exactly when it adds the compiler flag, so <c>f8e4m3</c> is the only safe one.
    /// </summary>
    public static string NxdiName(this Format format) => format switch
    {
        Format.Bf16 => "bfloat16",
        Format.Int8 => "int8",
        Format.F8E4M3 => "f8e4m3",
        Format.F8E5M2 => "f8e5m2",
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "not a format"),
    };

    /// <summary>Reads NxDI's spelling; the error lists the spellings there are.</summary>
    /// <exception cref="ArgumentException">the name is not one of int8, f8e4m3, f8e5m2, bfloat16</exception>
    public static Format Parse(string name) => name switch
    {
        "bfloat16" => Format.Bf16,
        "int8" => Format.Int8,
        "f8e4m3" => Format.F8E4M3,
        "f8e5m2" => Format.F8E5M2,
        _ => throw new ArgumentException($"'{name}' is not a format. Use NxDI's own spelling: int8, f8e4m3, f8e5m2 or bfloat16.", nameof(name)),
    };
}
