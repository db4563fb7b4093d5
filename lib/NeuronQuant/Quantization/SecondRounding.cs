using NeuronQuant.Display;

namespace NeuronQuant.Quantization;

/// <summary>What NxDI's own quantization made of a fake-quantized weight.</summary>
/// <param name="Weights">how many weights were compared</param>
/// <param name="Changed">how many codes differ from the intended ones</param>
/// <param name="ChangedRows">in how many output channels at least one differs</param>
/// <param name="LargestStep">the largest difference in codes (integer grids) or in levels (fp8)</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record SecondRoundingResult(long Weights, long Changed, int ChangedRows, float LargestStep)
{
    /// <summary>The changed codes as a share of all, percent.</summary>
    public double ChangedPercent => Weights == 0 ? 0 : 100.0 * Changed / Weights;

    /// <summary>The line as HTML.</summary>
    public string ToHtml() => $"<p>{ToString()}</p>";

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant(
        $"{Changed} of {Weights} codes changed ({ChangedPercent:0.###} %), in {ChangedRows} rows, by up to {LargestStep}");
}

/// <summary>
/// The second rounding: NxDI reads a bf16 file, finds absmax/127 of each row, and rounds. This replays it and counts the codes that are
/// no longer those that were intended.
/// </summary>
/// <remarks>
/// A negative scale times a negative code is the same weight as their positives, so codes are compared as sign(scale) * level. The
/// replay is <see cref="RoundToNearest"/> on NxDI's grid for the format and granularity; nxd quantization_utils.py:210-234.
/// </remarks>
public static class SecondRounding
{
    /// <summary>Writes the weight as bf16, lets NxDI's arithmetic quantize it again, and compares the codes.</summary>
    /// <exception cref="QuantizationException">the weight has fewer than 8 bits: NxDI would store 8</exception>
    public static SecondRoundingResult Replay(QuantizedWeight intended) => Compare(intended, ByNxdi(intended));

    /// <summary>What NxDI makes of the weight's bf16 values.</summary>
    internal static QuantizedWeight ByNxdi(QuantizedWeight intended)
    {
        var file = WeightMatrix.OfBf16(intended.Name, intended.DequantizeBf16(), intended.Rows, intended.Columns);
        return RoundToNearest.Quantize(file, Grid.OfNxdi(intended.Grid.Format, intended.Granularity), intended.Granularity);
    }

    /// <summary>Counts the codes in which two quantizations of the same weight differ.</summary>
    /// <exception cref="QuantizationException">shapes, formats or widths differ, or codes of one have zero points or scales for groups</exception>
    public static SecondRoundingResult Compare(QuantizedWeight intended, QuantizedWeight actual)
    {
        foreach (var one in new[] { intended, actual })
            if (one.Grid.HasZeroPoint || one.Groups > 1)
                throw new QuantizationException(one.Name, $"codes on the grid '{one.Grid}' cannot be compared one by one: "
                    + "the same code means another weight in each group. Compare the weights, with QuantizationError.Between.");
        if ((intended.Rows, intended.Columns, intended.Grid.Format, intended.Grid.Bits) != (actual.Rows, actual.Columns, actual.Grid.Format, actual.Grid.Bits))
            throw new QuantizationException(intended.Name,
                $"[{intended.Rows}, {intended.Columns}] on {intended.Grid} cannot be compared with [{actual.Rows}, {actual.Columns}] on {actual.Grid}.");
        long changed = 0;
        int changedRows = 0;
        float largest = 0;
        for (int row = 0; row < intended.Rows; row++)
        {
            long before = changed;
            float sign = MathF.Sign(intended.Scale(row)) * MathF.Sign(actual.Scale(row));
            for (int i = row * intended.Columns; i < (row + 1) * intended.Columns; i++)
            {
                float step = MathF.Abs(RowReference.Level(intended.Codes[i], intended.Grid) * sign - RowReference.Level(actual.Codes[i], actual.Grid));
                if (step == 0) continue;
                changed++;
                largest = MathF.Max(largest, step);
            }
            if (changed > before) changedRows++;
        }
        return new SecondRoundingResult((long)intended.Rows * intended.Columns, changed, changedRows, largest);
    }
}
