namespace NeuronQuant.Formats;

/// <summary>The number format in which a module's weight is stored.</summary>
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
