using NeuronQuant.Checkpoints;
using NeuronQuant.Quantization;

namespace NeuronQuant.Sensitivity;

/// <summary>
/// How hard a module is to quantize, seen from its weights alone. A channel is a row of the weight [out, in]; a vector (a norm's gain)
/// is one channel.
/// </summary>
/// <remarks>
/// Outlier magnitude is the blog's: the variance of each channel (unbiased, n-1, as torch.var), averaged over channels. It measures
/// energy, and W -> cW changes it by c^2. What rounding really costs is the crest factor max|w|/rms of each channel: int8 SQNR is about
/// 52.87 - 20 log10(crest factor) dB. Kurtosis is E[d^4]/E[d^2]^2, 3 for a normal distribution. int8 MSE is the mean of (w - s*q)^2 with
/// s = absmax/127 per channel; SQNR is 10 log10(sum w^2 / sum (w - s*q)^2).
/// Channels of zeros have no crest factor, and constant ones no kurtosis; they are left out of those means.
/// </remarks>
/// <param name="Module">the module</param>
/// <param name="Tensor">the tensor's name in the checkpoint</param>
/// <param name="Rows">channels</param>
/// <param name="Columns">weights in a channel</param>
/// <param name="OutlierMagnitude">mean over channels of the variance, in squared weight units</param>
/// <param name="CrestFactor">mean over channels of max|w|/rms; null when all weights are zero</param>
/// <param name="LargestCrestFactor">of the worst channel; null when all weights are zero</param>
/// <param name="Kurtosis">mean over channels; null when every channel is constant</param>
/// <param name="Int8Mse">mean squared error of int8 per channel, in squared weight units</param>
/// <param name="Int8Sqnr">dB; null when nothing is lost (the ratio is infinite)</param>
/// <param name="AbsoluteMaximum">largest magnitude, in weight units</param>
public sealed record ModuleMetrics(
    ModuleName Module, string Tensor, int Rows, int Columns, double OutlierMagnitude, double? CrestFactor, double? LargestCrestFactor,
    double? Kurtosis, double Int8Mse, double? Int8Sqnr, double AbsoluteMaximum)
{
    /// <summary>Weights in the module.</summary>
    public long Parameters => (long)Rows * Columns;

    /// <summary>The value of one metric; null where it is not defined.</summary>
    /// <exception cref="ArgumentException">a reader's metric that was not measured</exception>
    public double? this[Metric metric] => metric.Read(this);

    /// <summary>The values of the reader's own metrics, by name.</summary>
    internal IReadOnlyDictionary<string, double?> Own { get; private init; } = new Dictionary<string, double?>();

    /// <summary>Measures one weight.</summary>
    /// <param name="module">the module it belongs to</param>
    /// <param name="weight">[out, in], or a vector</param>
    /// <param name="own">metrics of the reader's, measured beside the others</param>
    /// <param name="cancellation">checked between blocks of rows</param>
    /// <exception cref="QuantizationException">a weight is NaN or infinite</exception>
    public static ModuleMetrics Measure(ModuleName module, WeightMatrix weight, IEnumerable<Metric>? own = null, CancellationToken cancellation = default)
    {
        var sums = new RowSums[weight.Rows];
        var grid = Grid.Nxd();
        RowLoop.Run(weight.Rows, weight.Columns, weight.IsBf16 ? 0 : weight.Columns, (row, scratch) => sums[row] = MeasureRow(weight, row, scratch, grid), cancellation);
        return Join(module, weight.Name, weight.Columns, sums) with
        {
            Own = (own ?? []).ToDictionary(metric => metric.Name, metric => metric.Measure?.Invoke(weight)),
        };
    }

    internal static ModuleMetrics Join(ModuleName module, string tensor, int n, RowSums[] rows)
    {
        double variance = 0, crest = 0, largestCrest = 0, kurtosis = 0, errors = 0, energy = 0, maximum = 0;
        int withEnergy = 0, varying = 0;
        foreach (var row in rows)
        {
            double rowEnergy = row.SquaredDeviations + n * row.Mean * row.Mean;
            variance += n > 1 ? row.SquaredDeviations / (n - 1) : 0;
            (errors, energy, maximum) = (errors + row.SquaredErrors, energy + rowEnergy, Math.Max(maximum, row.AbsoluteMaximum));
            if (rowEnergy > 0)
            {
                double factor = row.AbsoluteMaximum / Math.Sqrt(rowEnergy / n);
                (crest, largestCrest, withEnergy) = (crest + factor, Math.Max(largestCrest, factor), withEnergy + 1);
            }
            if (row.SquaredDeviations > 0 && row.FourthPowers > 0)
                (kurtosis, varying) = (kurtosis + n * row.FourthPowers / (row.SquaredDeviations * row.SquaredDeviations), varying + 1);
        }
        return new ModuleMetrics(module, tensor, rows.Length, n, variance / rows.Length,
            withEnergy == 0 ? null : crest / withEnergy, withEnergy == 0 ? null : largestCrest, varying == 0 ? null : kurtosis / varying,
            errors / ((double)rows.Length * n), errors > 0 ? 10 * Math.Log10(energy / errors) : null, maximum);
    }

    private static RowSums MeasureRow(WeightMatrix weight, int row, Span<float> scratch, Grid grid)
    {
        RowSums sums;
        if (weight.IsBf16) sums = RowMoments.Fast<ushort, Bf16Element>(weight.Bf16Row(row), grid);
        else
        {
            weight.ReadRow(row, scratch);
            sums = RowMoments.Fast<float, FloatElement>(scratch, grid);
        }
        return double.IsFinite(sums.AbsoluteMaximum) ? sums
            : throw new QuantizationException(weight.Name, $"row {row} holds a NaN or an infinity. Repair or re-download the checkpoint.");
    }
}
