using NeuronQuant.Models;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;
using static TorchSharp.torch;

namespace NeuronQuant.Methods;

/// <summary>How large the inputs of a linear module are, channel by channel, over the calibration positions that count.</summary>
/// <param name="Mean">mean of |x_j|, [in]: what AWQ looks at</param>
/// <param name="Maximum">largest |x_j|, [in]: what SmoothQuant looks at</param>
/// <remarks>The absolute value is the point of both. Without it positive and negative values cancel, and a mean below zero to a fractional power is
/// NaN: so it was in llm-compressor until its pull request 1788.</remarks>
public sealed record ActivationStatistics(double[] Mean, double[] Maximum)
{
    /// <summary>Measures the inputs of all linear modules of the blocks.</summary>
    /// <param name="model">in floating point</param>
    /// <param name="calibration">token sequences</param>
    /// <param name="cancellation">checked before each batch</param>
    /// <returns>for each layer and name of an input (see <see cref="DecoderBlock.InputOf"/>) its statistics</returns>
    public static IReadOnlyDictionary<(int Layer, string Input), ActivationStatistics> Capture(
        LlamaModel model, CalibrationSet calibration, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(calibration);
        var (walk, found) = (ModelWalk.Of(model), new Dictionary<(int, string), Sums>());
        using var streams = walk.Embed(calibration.Tokens);
        foreach (var block in walk.Blocks)
        {
            string[] inputs = [.. block.Linears.Select(linear => DecoderBlock.InputOf(linear.Module.Type)).Distinct()];
            foreach (var linear in block.Linears) found.TryAdd((block.Layer, DecoderBlock.InputOf(linear.Module.Type)), new Sums(linear.In));
            walk.Forward(block, streams, 8, (first, module, output) =>
            {
                if (inputs.Contains(module)) found[(block.Layer, module)].Add(output, calibration, first);
            }, cancellation);
        }
        return found.ToDictionary(pair => pair.Key, pair => pair.Value.Result());
    }

    private sealed class Sums(int size)
    {
        private readonly double[] _sum = new double[size], _maximum = new double[size];
        private long _tokens;

        public void Add(Tensor output, CalibrationSet calibration, int first)
        {
            long texts = output.shape[0], length = output.shape[1];
            long[] rows = [.. Enumerable.Range(0, (int)(texts * length))
                .Where(row => calibration.Counted[first + (int)(row / length)][row % length]).Select(row => (long)row)];
            if (rows.Length == 0) return;
            var values = output.reshape(texts * length, -1).index_select(0, tensor(rows).to(output.device)).abs();
            float[] sums = values.sum([0L]).ToFloats(), largest = values.amax([0L]).ToFloats();
            for (int j = 0; j < size; j++) (_sum[j], _maximum[j]) = (_sum[j] + sums[j], Math.Max(_maximum[j], largest[j]));
            _tokens += rows.Length;
        }

        public ActivationStatistics Result() => new([.. _sum.Select(sum => sum / Math.Max(1, _tokens))], _maximum);
    }
}
