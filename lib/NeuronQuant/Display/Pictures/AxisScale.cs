namespace NeuronQuant.Display;

/// <summary>Maps a value to a pixel, linearly or by its logarithm.</summary>
/// <param name="Minimum">The value at <paramref name="From"/>.</param>
/// <param name="Maximum">The value at <paramref name="To"/>.</param>
/// <param name="From">Pixels.</param>
/// <param name="To">Pixels; less than <paramref name="From"/> for a vertical axis, since a picture counts downwards.</param>
/// <param name="IsLogarithmic">Whether equal ratios, not equal differences, are equal lengths.</param>
internal readonly record struct AxisScale(double Minimum, double Maximum, double From, double To, bool IsLogarithmic)
{
    /// <summary>The pixel of a value; a value outside of the axis is put at its end.</summary>
    public double this[double value] => From + ((To - From) * Math.Clamp(Fraction(value), 0, 1));

    /// <summary>Whether the axis can show the value at all: finite, and positive on a logarithmic axis.</summary>
    public bool CanShow(double value) => double.IsFinite(value) && (!IsLogarithmic || value > 0);

    private double Fraction(double value) => IsLogarithmic
        ? Math.Log(Math.Max(value, double.Epsilon) / Minimum) / Math.Log(Maximum / Minimum)
        : (value - Minimum) / (Maximum - Minimum);
}
