using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>A decoder block whose values are a copy of another's, some of its weights replaced by quantized ones.</summary>
internal static class QuantizedBlock
{
    /// <summary>A block of its own with the same values.</summary>
    public static DecoderBlock Copy(ModelConfig config, DecoderBlock block, RotaryEmbedding rotary)
    {
        var copy = new DecoderBlock(config, block.Layer, rotary);
        foreach (var (source, target) in block.Parameters.Zip(copy.Parameters)) source.Values.CopyTo(target.Values, 0);
        return copy;
    }

    /// <summary>Replaces the weights that are among the quantized ones by scale * code.</summary>
    public static void Apply(DecoderBlock block, IReadOnlyDictionary<ModuleName, QuantizedWeight> weights)
    {
        foreach (var linear in block.Linears)
            if (weights.TryGetValue(ModuleName.Parse(linear.Name), out var quantized)) Apply(linear, quantized);
    }

    /// <summary>Replaces a module's weight by scale * code.</summary>
    public static void Apply(Linear linear, QuantizedWeight quantized)
    {
        if ((quantized.Rows, quantized.Columns) != (linear.Out, linear.In))
            throw new TuningException(linear.Name,
                $"is [{linear.Out}, {linear.In}], but its codes are [{quantized.Rows}, {quantized.Columns}]. Are they of another model?");
        for (int row = 0; row < quantized.Rows; row++) quantized.DequantizeRow(row, linear.Weight.Values.AsSpan(row * linear.In, linear.In));
    }

    /// <summary>Sends sequences through a block, in place, so many at a time.</summary>
    /// <param name="block">the block</param>
    /// <param name="streams">[sequences][length * hidden]; replaced by the outputs</param>
    /// <param name="length">tokens of a sequence</param>
    /// <param name="batch">sequences at a time</param>
    /// <param name="kept">buffers</param>
    /// <param name="cancellation">checked before each batch</param>
    public static void Forward(DecoderBlock block, float[][] streams, int length, int batch, BlockActivations kept, CancellationToken cancellation)
    {
        int values = streams[0].Length;
        var buffer = new float[Math.Min(batch, streams.Length) * values];
        for (int first = 0; first < streams.Length; first += batch)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = Math.Min(batch, streams.Length - first);
            for (int i = 0; i < count; i++) streams[first + i].CopyTo(buffer, i * values);
            block.Forward(buffer, buffer, count, length, kept);
            for (int i = 0; i < count; i++) buffer.AsSpan(i * values, values).CopyTo(streams[first + i]);
        }
    }
}
