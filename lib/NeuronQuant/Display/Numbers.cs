using System.Globalization;

namespace NeuronQuant.Display;

/// <summary>How a number is written for a reader, and how a coordinate is written in a picture.</summary>
/// <remarks>
/// Everything shown to a reader passes through here, so the same value looks the same in a figure, a table and a terminal, and the same
/// on every machine: always the invariant culture, never a default format. Four significant digits are enough to compare two bars by
/// eye; whoever needs the rest reads the JSON, which has the exact value.
/// </remarks>
internal static class Numbers
{
    /// <summary>Four significant digits, unless told otherwise: 0.1234, 12.35, 12346, 1.235e-5; "NaN" and "infinity" are spelled out.</summary>
    public static string Short(double value, int digits = 4)
    {
        if (double.IsNaN(value)) return "NaN";
        if (double.IsInfinity(value)) return value > 0 ? "infinity" : "-infinity";
        if (value == 0) return "0";
        var magnitude = Math.Abs(value);
        if (magnitude >= 1e7 || magnitude < 1e-4) return value.ToString("0." + new string('#', digits - 1) + "e0", CultureInfo.InvariantCulture);
        var decimals = Math.Max(0, digits - 1 - (int)Math.Floor(Math.Log10(magnitude)));
        return Fixed(value, Math.Min(decimals, 8));
    }

    /// <summary>A number with at most so many decimals, trailing zeros dropped, and no "-0".</summary>
    public static string Fixed(double value, int decimals)
    {
        var text = value.ToString("0." + new string('#', decimals), CultureInfo.InvariantCulture);
        return text == "-0" ? "0" : text;
    }

    /// <summary>A pixel coordinate: two decimals, which is below what any screen shows.</summary>
    public static string Coordinate(double pixels) => Fixed(pixels, 2);

    /// <summary>An exponent in superscript digits, for 10⁻³ on an axis.</summary>
    public static string PowerOfTen(int exponent)
    {
        const string digits = "⁰¹²³⁴⁵⁶⁷⁸⁹";
        var text = exponent.ToString(CultureInfo.InvariantCulture).Select(c => c == '-' ? '⁻' : digits[c - '0']);
        return "10" + string.Concat(text);
    }
}
