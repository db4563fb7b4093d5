namespace NeuronQuant.Display;

/// <summary>The range of values that a figure's axes must show, and what they cannot show.</summary>
/// <param name="MinimumX">Least position; meaningless for categories.</param>
/// <param name="MaximumX">Greatest position.</param>
/// <param name="MinimumY">Least value, thresholds included, and zero where marks stand on it.</param>
/// <param name="MaximumY">Greatest value.</param>
/// <param name="IsEmpty">Whether there is nothing to draw.</param>
/// <param name="Notes">What was left out, in words.</param>
internal sealed record FigureRange(double MinimumX, double MaximumX, double MinimumY, double MaximumY, bool IsEmpty, string[] Notes)
{
    public static FigureRange Of(Figure figure, HistogramSeries[] histograms)
    {
        var x = figure.Kind == FigureKind.Histogram ? histograms.SelectMany(h => h.Edges!) : figure.Lines.SelectMany(line => line.X);
        var y = figure.Lines.SelectMany(line => line.Y.Where((_, i) => double.IsFinite(line.X[i])))
            .Concat(figure.Bars.SelectMany(bar => bar.Values.Concat(bar.High ?? []).Concat(bar.Low ?? []))).Concat(histograms.SelectMany(h => h.Counts!)).ToArray();
        var shown = y.Where(v => double.IsFinite(v) && (!figure.IsLogY || v > 0)).ToArray();
        var (minimumX, maximumX) = Extent(x.Where(double.IsFinite));
        var notes = NotesFor(figure, y);
        if (shown.Length == 0) return new FigureRange(0, 1, figure.IsLogY ? 1 : 0, figure.IsLogY ? 10 : 1, true, notes);
        var (low, high) = Extent(shown.Concat(figure.Thresholds.Select(t => t.Value).Where(v => !figure.IsLogY || v > 0)));
        (low, high) = figure.IsLogY ? Logarithmic(figure, low, high) : Linear(figure, low, high);
        return new FigureRange(minimumX, maximumX, low, high, false, notes);
    }

    private static (double Low, double High) Linear(Figure figure, double low, double high)
    {
        var standsOnZero = figure.Kind is FigureKind.Bar or FigureKind.Histogram;
        // A line far above zero keeps its own range; one that nearly reaches zero is easier to read with zero shown.
        if (standsOnZero || (low > 0 && low < 0.4 * high)) low = Math.Min(low, 0);
        if (standsOnZero) high = Math.Max(high, 0);
        return (low, high);
    }

    private static (double Low, double High) Logarithmic(Figure figure, double low, double high)
    {
        // A count of one must have a height, so the axis begins below it.
        if (figure.Kind == FigureKind.Histogram) return (Math.Min(0.5, low / 2), high * 1.5);
        if (figure.Kind == FigureKind.Bar) return (Math.Pow(10, Math.Floor(Math.Log10(low * 0.7))), high * 1.4);
        return (low / 1.4, high * 1.4);
    }

    private static (double Low, double High) Extent(IEnumerable<double> values)
    {
        var (low, high) = (double.PositiveInfinity, double.NegativeInfinity);
        foreach (var value in values) (low, high) = (Math.Min(low, value), Math.Max(high, value));
        return low <= high ? (low, high) : (0, 1);
    }

    private static string[] NotesFor(Figure figure, double[] y)
    {
        var raw = figure.Histograms.SelectMany(h => h.Values ?? []);
        var x = figure.Lines.SelectMany(line => line.X);
        var notFinite = raw.Concat(y).Concat(x).Count(v => !double.IsFinite(v));
        var total = figure.Kind == FigureKind.Histogram ? raw.Count() : y.Length;
        var notPositive = figure.IsLogY && figure.Kind != FigureKind.Histogram ? y.Count(v => v <= 0 && double.IsFinite(v)) : 0;
        var notes = new List<string>();
        if (notFinite > 0) notes.Add($"Not drawn: {notFinite} of {total} values (NaN or infinite).");
        if (notPositive > 0) notes.Add($"Not drawn: {notPositive} of {total} values (zero or less, which a logarithmic axis cannot show).");
        foreach (var threshold in figure.Thresholds.Where(t => figure.IsLogY && t.Value <= 0))
            notes.Add($"Not drawn: the line \"{threshold.Label}\" at {Numbers.Short(threshold.Value)}, which a logarithmic axis cannot show.");
        return [.. notes];
    }
}
