using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>
/// GPTQ: rounds a weight column by column, and after each column moves the columns still to come so that they make up for its rounding
/// error, as far as the inputs allow.
/// </summary>
/// <remarks>
/// Frantar et al., "GPTQ: accurate post-training quantization for generative pre-trained transformers", 2022; llm-compressor
/// gptq_quantize.py:149-246. H = X^T X over calibration plus 1 % of its mean diagonal; H^-1 = U^T U with U upper; for each column j in
/// order: q_j = round(w_j / s), e = (w_j - s q_j) / U_jj, w_k -= e U_jk for k > j. The scale of a channel is fixed before, from its own
/// extreme by rule R1, and the extreme weight is pinned to the largest code: error feedback would otherwise leave some channels without
/// one, and NxDI would stretch their grid. Left out: groups and asymmetric zero points, which NxDI cannot load, and reordering of columns.
/// Inputs are those of the floating-point model for all layers; the original recomputes them behind quantized layers.
/// H is factored in float64, the feedback runs in float32. An input channel that is always zero keeps its rounded weights.
/// </remarks>
public static class Gptq
{
    /// <summary>What reports and records call the method.</summary>
    public const string Method = "gptq";

    private const double Damping = 0.01; // Share of the mean diagonal; the paper's and every tool's default.

    /// <summary>Quantizes all given modules of a model.</summary>
    /// <param name="model">the model in floating point; it is not changed</param>
    /// <param name="grids">grid of each module, see <see cref="TuningGrids"/></param>
    /// <param name="grams">from <see cref="GramMatrix.Capture"/></param>
    /// <param name="progress">told the modules done and their number</param>
    /// <param name="cancellation">checked before each module</param>
    public static LayerTuningResult Tune(
        LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, IReadOnlyDictionary<ModuleName, GramMatrix> grams, Action<long, long>? progress = null,
        CancellationToken cancellation = default) =>
        LayerTuningResult.Of(Method, model, grids, grams, (weight, gram, grid) => Quantize(weight, gram, grid, cancellation), progress, cancellation);

    /// <summary>Quantizes one weight.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="gram">of its inputs, [in, in]</param>
    /// <param name="grid">nxd or autoround</param>
    /// <param name="cancellation">checked between parts of rows</param>
    /// <exception cref="TuningException">the sizes differ, or the inputs are not finite</exception>
    public static QuantizedWeight Quantize(WeightMatrix weight, GramMatrix gram, Grid grid, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(gram);
        if (weight.Columns != gram.Size)
            throw new TuningException(weight.Name, $"has {weight.Columns} inputs, its Gram matrix {gram.Size}. Capture the matrix of this module.");
        float[] values = weight.ToArray(), factor = Factor(weight.Name, gram);
        var start = new LearnedWeight(weight.Name, values, weight.Rows, weight.Columns, grid);
        var result = new QuantizedWeight(weight.Name, grid, Granularity.PerChannelSymmetric, weight.Rows, weight.Columns, new byte[values.Length], new float[weight.Rows]);
        // The channels are read before feedback changes the weights.
        var channels = Enumerable.Range(0, weight.Rows).Select(start.Channel).ToArray();
        RowParts.Run(weight.Rows, (_, first, last) =>
        {
            cancellation.ThrowIfCancellationRequested();
            for (int row = first; row < last; row++) result.Scales[row] = channels[row].Channel.Scale;
            for (int column = 0; column < weight.Columns; column++)
                for (int row = first; row < last; row++) Round(values, factor, channels[row], row, column, weight.Columns, grid, result.Codes);
        });
        return result;
    }

    // Rounds one weight and feeds its error to those after it in the row. Rows of a part share the row of U in the cache.
    private static void Round(float[] values, float[] factor, (ChannelScale Channel, int Pinned) channel, int row, int column, int columns, Grid grid, byte[] codes)
    {
        int at = row * columns + column;
        float scale = channel.Channel.Scale;
        float code = column == channel.Pinned ? channel.Channel.PinnedCode : RoundingReference.Code(values[at], 0, scale, grid);
        codes[at] = (byte)(sbyte)code;
        float error = (values[at] - scale * code) / factor[column * columns + column];
        VectorMath.AddScaled(values.AsSpan(at + 1, columns - column - 1), factor.AsSpan(column * columns + column + 1, columns - column - 1), -error);
    }

    private static float[] Factor(string name, GramMatrix gram)
    {
        int n = gram.Size;
        double[] damped = Array.ConvertAll(gram.Values, value => (double)value);
        double mean = Enumerable.Range(0, n).Average(j => damped[j * n + j]);
        if (!(mean > 0) || !double.IsFinite(mean))
            throw new TuningException(name, $"the mean square of its inputs is {mean}: capture the Gram matrix on real texts, of a model without NaN.");
        for (int j = 0; j < n; j++) damped[j * n + j] += Damping * mean;
        return Cholesky.InverseUpper(damped, n) is { } upper ? Array.ConvertAll(upper, value => (float)value)
            : throw new TuningException(name, "its Gram matrix is not positive even with damping. Are there NaN among the inputs?");
    }
}
