namespace NeuronQuant.Display;

/// <summary>From a heat map's value to its colour, and the bar that explains it.</summary>
/// <remarks>
/// The scale runs from the least to the greatest value that can be shown, by difference or, when asked, by ratio. A matrix whose values
/// are all equal is drawn in the middle colour.
/// </remarks>
internal sealed class ColourScale
{
    private readonly HeatMapData _matrix;
    private readonly double _low;
    private readonly double _high;
    private readonly Ticks _ticks;

    private ColourScale(HeatMapData matrix, double[] shown)
    {
        _matrix = matrix;
        IsEmpty = shown.Length == 0;
        (_low, _high) = IsEmpty ? (0, 1) : (shown.Min(), shown.Max());
        var oneValue = _low == _high;
        _ticks = oneValue || IsEmpty ? new Ticks([_low], [Numbers.Short(_low)], _low, _high)
            : matrix.LogColour ? Ticks.Logarithmic(_low, _high) : Ticks.Linear(_low, _high, 6);
        if (_ticks.Values.Count(Shows) < 2 && !oneValue) _ticks = new Ticks([_low, _high], [Numbers.Short(_low), Numbers.Short(_high)], _low, _high);
        Notes = NotesFor(matrix, shown.Length);
    }

    /// <summary>Whether no cell has a colour.</summary>
    public bool IsEmpty { get; }

    /// <summary>What could not be coloured, in words.</summary>
    public string[] Notes { get; }

    /// <summary>Pixels of the widest label beside the bar.</summary>
    public double LabelWidth => _ticks.Labels.Max(label => TextWidth.Of(label, 11)) + 8;

    /// <summary>The scale of a matrix.</summary>
    public static ColourScale Of(HeatMapData matrix) =>
        new(matrix, [.. matrix.Values.Cast<double>().Where(value => double.IsFinite(value) && (!matrix.LogColour || value > 0))]);

    /// <summary>The colour of a value.</summary>
    public string Of(double value) => CanShow(value) ? Palette.Sequential(Fraction(value)) : Palette.Missing;

    /// <summary>The colour of a value, rounded to one of so many.</summary>
    public string OfLevel(double value, int levels) =>
        CanShow(value) ? Palette.Sequential(Math.Round(Fraction(value) * (levels - 1)) / (levels - 1)) : Palette.Missing;

    /// <summary>The ink that can be read on the value's colour.</summary>
    public string InkOn(double value) => CanShow(value) ? Palette.InkOn(Fraction(value)) : Palette.Ink;

    /// <summary>Writes the bar, greatest value on top.</summary>
    public void WriteBar(SvgCanvas canvas, double x, double y, double height, double width)
    {
        const int steps = 40;
        canvas.Open("shape-rendering=\"crispEdges\"");
        for (var i = 0; i < steps; i++)
            canvas.Rect(x, y + (height * i / steps), width, height / steps, $"fill=\"{Palette.Sequential(1 - (i / (steps - 1.0)))}\"");
        canvas.Close();
        canvas.Open("font-size=\"11\"");
        for (var i = 0; i < _ticks.Values.Length; i++)
        {
            if (!Shows(_ticks.Values[i])) continue;
            var position = y + (height * (1 - Fraction(_ticks.Values[i])));
            canvas.Line(x + width, position, x + width + 3, position, $"stroke=\"{Palette.Axis}\"");
            canvas.Text(x + width + 6, position + 4, _ticks.Labels[i]);
        }
        canvas.Close();
        if (_matrix.ColourTitle.Length == 0) return;
        var place = $"translate({Numbers.Coordinate(x + width + LabelWidth + 12)} {Numbers.Coordinate(y + (height / 2))}) rotate(-90)";
        canvas.Text(0, 0, _matrix.ColourTitle, $"text-anchor=\"middle\" fill=\"{Palette.Muted}\" transform=\"{place}\"");
    }

    private bool CanShow(double value) => double.IsFinite(value) && (!_matrix.LogColour || value > 0);

    private bool Shows(double tick) => tick >= _low - (1e-9 * Math.Abs(_low)) && tick <= _high + (1e-9 * Math.Abs(_high));

    private double Fraction(double value)
    {
        if (_high == _low) return 0.5;
        return _matrix.LogColour ? Math.Log(value / _low) / Math.Log(_high / _low) : (value - _low) / (_high - _low);
    }

    private static string[] NotesFor(HeatMapData matrix, int shown)
    {
        var missing = matrix.Values.Length - shown;
        if (missing == 0) return [];
        var reason = matrix.LogColour ? "NaN, infinite, or not positive under a logarithmic scale" : "NaN or infinite";
        return [$"Grey: {missing} of {matrix.Values.Length} cells ({reason})."];
    }
}
