using System.Buffers.Binary;
using System.Runtime.InteropServices;
using NeuronQuant.Formats;

namespace NeuronQuant.Checkpoints;

/// <summary>Turns the bytes of a tensor into floats, where that means something without a scale.</summary>
/// <remarks>
/// Decoded: F64 (rounded to nearest), F32, F16, BF16, F8_E5M2, F8_E4M3 and I8. The last two are usually half of a pair, code and scale;
/// the caller multiplies. F8_E4M3 is read with the OCP table, up to 448 and NaN at 0x7F and 0xFF, because a file from elsewhere may
/// hold such codes although Neuron may not. Left out: packed and FNUZ types, which no model of this workbook uses, wider integers,
/// which are never weights, and booleans and complex numbers.
/// </remarks>
internal static class TensorDecoder
{
    /// <summary>Throws when the tensor's type is not one of the decoded ones.</summary>
    public static void CheckDecodable(TensorInfo tensor)
    {
        if (tensor.Type is TensorType.F64 or TensorType.F32 or TensorType.F16 or TensorType.BF16 or TensorType.I8 or TensorType.F8E4M3
            or TensorType.F8E5M2) return;
        throw new CheckpointException(CheckpointFailure.TypeNotDecodable, tensor.File, tensor.Name, $"dtype {tensor.Type.Name()}",
            "F64, F32, F16, BF16, I8, F8_E4M3 or F8_E5M2", "Read the raw bytes, or convert the tensor before.");
    }

    /// <summary>Decodes as many elements as the destination is long; the bytes are exactly theirs.</summary>
    public static void Decode(TensorType type, ReadOnlySpan<byte> bytes, Span<float> destination)
    {
        switch (type)
        {
            case TensorType.F32: MemoryMarshal.Cast<byte, float>(bytes).CopyTo(destination); break;
            case TensorType.BF16: BFloat16.Decode(MemoryMarshal.Cast<byte, ushort>(bytes), destination); break;
            case TensorType.F8E4M3: Float8E4M3.Decode(bytes, destination); break;
            case TensorType.F8E5M2: Float8E5M2.Decode(bytes, destination); break;
            case TensorType.F64: DecodeDoubles(bytes, destination); break;
            case TensorType.F16: DecodeHalves(bytes, destination); break;
            case TensorType.I8: Int8.Decode(MemoryMarshal.Cast<byte, sbyte>(bytes), destination); break;
            default: throw new ArgumentOutOfRangeException(nameof(type), type, "Not a decodable type.");
        }
    }

    private static void DecodeDoubles(ReadOnlySpan<byte> bytes, Span<float> destination)
    {
        for (int i = 0; i < destination.Length; i++) destination[i] = (float)BinaryPrimitives.ReadDoubleLittleEndian(bytes[(8 * i)..]);
    }

    private static void DecodeHalves(ReadOnlySpan<byte> bytes, Span<float> destination)
    {
        for (int i = 0; i < destination.Length; i++) destination[i] = (float)BinaryPrimitives.ReadHalfLittleEndian(bytes[(2 * i)..]);
    }
}
