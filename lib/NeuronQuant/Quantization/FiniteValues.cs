using System.Numerics;
using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>Looks for a NaN or an infinity in what is copied and not quantized: embeddings, norms, biases, kept modules.</summary>
/// <remarks>
/// Quantizing finds one by itself, since no scale exists then. A copy would carry it along, and every answer of the model would be NaN. Values
/// are looked at as bf16, in which they are written: a float32 beyond 3.39e38 becomes an infinity there.
/// </remarks>
public static class FiniteValues
{
    private const ushort Exponent = 0x7F80; // All ones in an infinity and in a NaN, in nothing else.
    private const int Step = 1 << 20; // elements

    /// <summary>Reads every floating-point tensor of a checkpoint and throws at the first value that is no number in bf16.</summary>
    /// <exception cref="QuantizationException">names the tensor and the element</exception>
    public static void Check(Checkpoint checkpoint, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        var (floats, codes) = (new float[Step], new ushort[Step]);
        foreach (var tensor in checkpoint.Tensors.Where(IsFloat))
            for (long first = 0; first < tensor.ElementCount; first += Step)
            {
                cancellation.ThrowIfCancellationRequested();
                int count = (int)Math.Min(Step, tensor.ElementCount - first);
                checkpoint.ReadFloats(tensor, first, floats.AsSpan(0, count));
                BFloat16.Encode(floats.AsSpan(0, count), codes.AsSpan(0, count));
                Check(tensor.Name, first, codes.AsSpan(0, count));
            }
    }

    /// <summary>Throws when one of some bf16 codes is a NaN or an infinity.</summary>
    /// <param name="tensor">for the message</param>
    /// <param name="first">index of the first code in its tensor</param>
    /// <param name="codes">bf16</param>
    public static void Check(string tensor, long first, ReadOnlySpan<ushort> codes)
    {
        int index = IndexOf(codes);
        if (index < 0) return;
        throw new QuantizationException(tensor, $"element {first + index} is a NaN or an infinity in bf16. Repair or re-download the checkpoint.");
    }

    /// <summary>Index of the first code that is a NaN or an infinity; -1 when there is none.</summary>
    public static int IndexOf(ReadOnlySpan<ushort> codes)
    {
        var exponent = new Vector<ushort>(Exponent);
        int i = 0;
        for (; i <= codes.Length - Vector<ushort>.Count; i += Vector<ushort>.Count)
            if (Vector.EqualsAny(new Vector<ushort>(codes[i..]) & exponent, exponent)) break;
        for (; i < codes.Length; i++)
            if ((codes[i] & Exponent) == Exponent) return i;
        return -1;
    }

    internal static void CheckBytes(string tensor, long firstByte, ReadOnlySpan<byte> bf16) =>
        Check(tensor, firstByte / 2, MemoryMarshal.Cast<byte, ushort>(bf16));

    private static bool IsFloat(TensorInfo tensor) => tensor.Type is TensorType.F64 or TensorType.F32 or TensorType.F16 or TensorType.BF16;
}
