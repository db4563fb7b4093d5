namespace NeuronQuant.Checkpoints;

/// <summary>The element types that a safetensors file can name.</summary>
/// <remarks>
/// The order is the format's own order of alignment, smallest first, and is part of the format: the reference writer lays tensors out by
/// this order, descending, then by name (huggingface/safetensors, safetensors/src/tensor.rs, enum Dtype), so that every tensor starts at
/// a multiple of its element size. F8_E4M3 is the OCP type (largest value 448, NaN at 0x7F and 0xFF), whatever Neuron makes of it;
/// the FNUZ types are another vendor's and have another bias. Nothing here says which types we can turn into numbers: see TensorDecoder.
/// </remarks>
public enum TensorType
{
    /// <summary>One byte, 0 or 1.</summary>
    Bool,

    /// <summary>Four-bit float of the OCP microscaling formats, two in a byte.</summary>
    F4,

    /// <summary>Six-bit float, 2 exponent and 3 mantissa bits, four in three bytes.</summary>
    F6E2M3,

    /// <summary>Six-bit float, 3 exponent and 2 mantissa bits, four in three bytes.</summary>
    F6E3M2,

    /// <summary>Unsigned byte.</summary>
    U8,

    /// <summary>Signed byte.</summary>
    I8,

    /// <summary>OCP fp8 with 5 exponent bits.</summary>
    F8E5M2,

    /// <summary>OCP fp8 with 4 exponent bits, no infinity.</summary>
    F8E4M3,

    /// <summary>A power of two in a byte: the scale of the microscaling formats.</summary>
    F8E8M0,

    /// <summary>fp8 e4m3 with one zero, one NaN and bias 8.</summary>
    F8E4M3Fnuz,

    /// <summary>fp8 e5m2 with one zero, one NaN and bias 16.</summary>
    F8E5M2Fnuz,

    /// <summary>Signed 16-bit integer.</summary>
    I16,

    /// <summary>Unsigned 16-bit integer.</summary>
    U16,

    /// <summary>IEEE half precision.</summary>
    F16,

    /// <summary>bfloat16.</summary>
    BF16,

    /// <summary>Signed 32-bit integer.</summary>
    I32,

    /// <summary>Unsigned 32-bit integer.</summary>
    U32,

    /// <summary>IEEE single precision.</summary>
    F32,

    /// <summary>Complex number of two single-precision floats.</summary>
    C64,

    /// <summary>IEEE double precision.</summary>
    F64,

    /// <summary>Signed 64-bit integer.</summary>
    I64,

    /// <summary>Unsigned 64-bit integer.</summary>
    U64,
}

/// <summary>The name that a safetensors header uses for a type, and the width of one element.</summary>
public static class TensorTypes
{
    private static readonly (string Name, int Bits)[] Table =
    [
        ("BOOL", 8), ("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6), ("U8", 8), ("I8", 8), ("F8_E5M2", 8), ("F8_E4M3", 8), ("F8_E8M0", 8),
        ("F8_E4M3FNUZ", 8), ("F8_E5M2FNUZ", 8), ("I16", 16), ("U16", 16), ("F16", 16), ("BF16", 16), ("I32", 32), ("U32", 32),
        ("F32", 32), ("C64", 64), ("F64", 64), ("I64", 64), ("U64", 64),
    ];

    /// <summary>All names, in the order of the enum.</summary>
    public static IEnumerable<string> Names => Table.Select(row => row.Name);

    /// <summary>The header's name of a type, such as F8_E4M3.</summary>
    public static string Name(this TensorType type) => Table[(int)type].Name;

    /// <summary>Bits of one element: 4 and 6 for the packed types, a multiple of 8 for the others.</summary>
    public static int BitSize(this TensorType type) => Table[(int)type].Bits;

    /// <summary>The type of a header's name; exact case, as in the reference reader. False when the name is not of the format.</summary>
    public static bool TryParse(string name, out TensorType type)
    {
        int index = Array.FindIndex(Table, row => row.Name == name);
        type = (TensorType)Math.Max(index, 0);
        return index >= 0;
    }
}
