using NeuronQuant.Display;

namespace NeuronQuant.Quantization;

/// <summary>How far a quantized weight is from the original, over all its weights.</summary>
/// <param name="MeanSquared">mean of (w - scale * level)^2, in squared weight units</param>
/// <param name="Sqnr">10 log10(sum w^2 / sum (w - scale * level)^2), dB; null when nothing was lost</param>
/// <param name="Largest">the largest |w - scale * level|, in weight units</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record QuantizationError(double MeanSquared, double? Sqnr, double Largest)
{
    /// <summary>Compares codes and scales with the weight that they were made from.</summary>
    /// <exception cref="QuantizationException">the shapes differ</exception>
    public static QuantizationError Between(WeightMatrix original, QuantizedWeight quantized)
    {
        if ((original.Rows, original.Columns) != (quantized.Rows, quantized.Columns))
            throw new QuantizationException(quantized.Name, $"[{quantized.Rows}, {quantized.Columns}] cannot be compared with [{original.Rows}, {original.Columns}].");
        var sums = Add(default, original, quantized);
        return sums.Over(original.Count);
    }

    /// <summary>What rounding to nearest loses on a grid, per channel or per group. A weight of any size streams through.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="grid">any grid</param>
    /// <param name="cancellation">checked between chunks</param>
    /// <exception cref="QuantizationException">a weight is NaN or infinite</exception>
    public static QuantizationError OfRounding(WeightMatrix weight, Grid grid, CancellationToken cancellation = default)
    {
        Sums sums = default;
        foreach (var chunk in weight.Chunks(1 << 22)) sums = Add(sums, chunk, RoundToNearest.Quantize(chunk, grid, cancellation: cancellation));
        return sums.Over(weight.Count);
    }

    private static Sums Add(Sums sums, WeightMatrix original, QuantizedWeight quantized)
    {
        var (weights, restored) = (new float[original.Columns], new float[original.Columns]);
        var (energy, errors, largest) = sums;
        for (int row = 0; row < original.Rows; row++)
        {
            original.ReadRow(row, weights);
            quantized.DequantizeRow(row, restored);
            for (int i = 0; i < weights.Length; i++)
            {
                double error = (double)weights[i] - restored[i];
                (energy, errors, largest) = (energy + (double)weights[i] * weights[i], errors + error * error, Math.Max(largest, Math.Abs(error)));
            }
        }
        return new Sums(energy, errors, largest);
    }

    private readonly record struct Sums(double Energy, double Errors, double Largest)
    {
        public QuantizationError Over(long count) => new(Errors / count, Errors > 0 ? 10 * Math.Log10(Energy / Errors) : null, Largest);
    }

    /// <summary>The line as HTML.</summary>
    public string ToHtml() => $"<p>{ToString()}</p>";

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"mean squared error {MeanSquared:0.###E+0}, SQNR {(Sqnr is { } dB ? dB.ToString("0.00", System.Globalization.CultureInfo.InvariantCulture) + " dB" : "without bound")}, largest error {Largest:0.######}");
}
