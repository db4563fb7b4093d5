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
        var (weights, restored) = (new float[original.Columns], new float[original.Columns]);
        double energy = 0, errors = 0, largest = 0;
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
        return new QuantizationError(errors / original.Count, errors > 0 ? 10 * Math.Log10(energy / errors) : null, largest);
    }

    /// <summary>The line as HTML.</summary>
    public string ToHtml() => $"<p>{ToString()}</p>";

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"mean squared error {MeanSquared:0.###E+0}, SQNR {(Sqnr is { } dB ? dB.ToString("0.00", System.Globalization.CultureInfo.InvariantCulture) + " dB" : "without bound")}, largest error {Largest:0.######}");
}
