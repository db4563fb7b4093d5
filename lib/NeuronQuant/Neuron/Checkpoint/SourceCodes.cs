using NeuronQuant.Checkpoints;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>The codes and scales of a source that NxDI holds as they are, for a writer or an audit: see <see cref="IntegerChanges"/>.</summary>
/// <remarks>
/// A scale is stored in float32 on the way out, to which BF16 and F16 widen exactly. One for the whole weight is repeated for each row. auto-round's
/// scales may be negative, which NxDI multiplies by like any other.
/// </remarks>
internal static class SourceCodes
{
    // Any int8 code with a scale of either sign. Nothing is rounded on this grid, so its divisor says nothing.
    private static readonly Grid Own = new("source", bits: 8, divisor: 128, minimum: -128, maximum: 127, signed: true);

    /// <summary>True when a tensor's codes can be taken over.</summary>
    public static bool Has(Checkpoint source, TensorInfo tensor) => source.CodesOf(tensor) is { WhyNotOnNeuron: null };

    /// <summary>The whole weight.</summary>
    public static QuantizedWeight Read(Checkpoint source, TensorInfo tensor) => Read(source, tensor, 0, (int)tensor.Shape[0]);

    /// <summary>Rows that together are the whole weight, each time at most so many weights but at least one row.</summary>
    public static IEnumerable<QuantizedWeight> Chunks(Checkpoint source, TensorInfo tensor, int weights = 1 << 24)
    {
        int rows = (int)tensor.Shape[0], step = (int)Math.Max(1, weights / tensor.Shape[1]);
        for (int first = 0; first < rows; first += step) yield return Read(source, tensor, first, Math.Min(step, rows - first));
    }

    private static QuantizedWeight Read(Checkpoint source, TensorInfo tensor, int first, int rows)
    {
        int columns = (int)tensor.Shape[1];
        var stored = source.CodesOf(tensor)!;
        var (codes, scales, integers) = (new byte[rows * columns], new float[rows], new int[columns]);
        for (int row = 0; row < rows; row++)
        {
            scales[row] = stored.ReadRow(first + row, integers);
            for (int i = 0; i < columns; i++) codes[row * columns + i] = (byte)(sbyte)integers[i];
        }
        return new QuantizedWeight(tensor.Name, Own, Granularity.PerChannelSymmetric, rows, columns, codes, scales);
    }
}
