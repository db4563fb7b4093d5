using System.Globalization;

namespace NeuronQuant.Display;

/// <summary>The marks of one axis: where they stand and what they say.</summary>
/// <param name="Values">Positions in data units, ascending.</param>
/// <param name="Labels">One label for each position.</param>
/// <param name="Minimum">Where a linear axis should begin so that its first mark is its end.</param>
/// <param name="Maximum">Where it should end.</param>
/// <remarks>
/// A linear axis steps by 1, 2 or 5 times a power of ten, the steps a reader can divide in the head. A logarithmic axis marks the powers
/// of ten, and 2 and 5 between them when it spans fewer than two. All labels of one axis have the same number of decimals, so that they
/// line up; where that would need more than five digits they are written as 2×10⁻⁶.
/// </remarks>
internal sealed record Ticks(double[] Values, string[] Labels, double Minimum, double Maximum)
{
    /// <summary>Marks from at or below the minimum to at or above the maximum, about <paramref name="target"/> of them.</summary>
    public static Ticks Linear(double minimum, double maximum, int target = 6, bool wholeNumbers = false)
    {
        if (!(maximum > minimum)) (minimum, maximum) = minimum == 0 ? (0, 1) : (Math.Min(0, minimum), Math.Max(0, minimum));
        var step = NiceStep((maximum - minimum) / Math.Max(1, target - 1));
        if (wholeNumbers) step = Math.Max(1, step);
        // The slack keeps 0.30000000000000004 from opening one more interval for 0.3.
        var first = Math.Floor((minimum / step) + 1e-9);
        var last = Math.Ceiling((maximum / step) - 1e-9);
        var values = Enumerable.Range(0, (int)(last - first) + 1).Select(i => (first + i) * step).ToArray();
        return new Ticks(values, LinearLabels(values, step), first * step, last * step);
    }

    /// <summary>Marks inside a positive range, at most eight of them.</summary>
    public static Ticks Logarithmic(double minimum, double maximum)
    {
        var low = (int)Math.Floor(Math.Log10(minimum) + 1e-9);
        var high = (int)Math.Ceiling(Math.Log10(maximum) - 1e-9);
        double decades = Math.Log10(maximum / minimum);
        int[] multiples = decades < 0.7 ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : decades < 2 ? [1, 2, 5] : [1];
        var every = Math.Max(1, (int)Math.Ceiling((high - low + 1) / 8.0));
        var all = (from exponent in Enumerable.Range(low, high - low + 1)
                   where exponent % every == 0
                   from multiple in multiples
                   let value = multiple * Math.Pow(10, exponent)
                   where value >= minimum * (1 - 1e-9) && value <= maximum * (1 + 1e-9)
                   select (value, multiple, exponent)).ToArray();
        // One manner for the whole axis: plain numbers while all are short.
        var plain = all.All(m => m.exponent is >= -3 and <= 4);
        return new Ticks([.. all.Select(m => m.value)], [.. all.Select(m => LogLabel(m.multiple, m.exponent, plain))], minimum, maximum);
    }

    private static double NiceStep(double rough)
    {
        var power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        var fraction = rough / power;
        return power * (fraction <= 1.0001 ? 1 : fraction <= 2.0001 ? 2 : fraction <= 5.0001 ? 5 : 10);
    }

    private static string[] LinearLabels(double[] values, double step)
    {
        var largest = values.Max(Math.Abs);
        var decimals = Math.Max(0, -(int)Math.Floor(Math.Log10(step) + 1e-9));
        if (largest < 1e6 && decimals <= 4)
            return [.. values.Select(v => v.ToString((largest >= 1e4 ? "#,##0." : "0.") + new string('0', decimals), CultureInfo.InvariantCulture))];
        var exponent = (int)Math.Floor(Math.Log10(largest) + 1e-9);
        var scale = Math.Pow(10, exponent);
        var digits = Math.Clamp(-(int)Math.Floor(Math.Log10(step / scale) + 1e-9), 0, 6);
        return [.. values.Select(v => Math.Abs(v) < step / 2
            ? "0"
            : (v / scale).ToString("0." + new string('0', digits), CultureInfo.InvariantCulture) + "×" + Numbers.PowerOfTen(exponent))];
    }

    private static string LogLabel(int multiple, int exponent, bool plain)
    {
        if (plain || exponent == 0) return Numbers.Fixed(multiple * Math.Pow(10, exponent), 3);
        return multiple == 1 ? Numbers.PowerOfTen(exponent) : $"{multiple}×{Numbers.PowerOfTen(exponent)}";
    }
}
