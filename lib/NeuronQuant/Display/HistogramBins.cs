namespace NeuronQuant.Display;

/// <summary>Counts values into intervals of equal width, common to all series of a figure.</summary>
/// <remarks>
/// Two histograms that lie over each other can only be compared when their bins are the same, so the range is taken over all series
/// together. Values that are not finite have no bin; the figure reports how many there were. A series that was counted elsewhere keeps
/// its own edges.
/// </remarks>
internal static class HistogramBins
{
    /// <summary>Every series with edges and counts.</summary>
    public static HistogramSeries[] Count(Figure figure)
    {
        var finite = figure.Histograms.SelectMany(series => series.Values ?? []).Where(double.IsFinite);
        var (low, high, any) = (double.PositiveInfinity, double.NegativeInfinity, false);
        foreach (var value in finite) (low, high, any) = (Math.Min(low, value), Math.Max(high, value), true);
        if (any && low == high) (low, high) = (low - Margin(low), high + Margin(high));
        var edges = any ? Edges(low, high, figure.BinCount) : [];
        return [.. figure.Histograms.Select(series => series.Values is null ? series
            : new HistogramSeries(series.Name, series.Values, edges, Count(series.Values, edges)))];
    }

    private static double Margin(double value) => value == 0 ? 0.5 : Math.Abs(value) * 0.05;

    private static double[] Edges(double low, double high, int bins) =>
        [.. Enumerable.Range(0, bins + 1).Select(i => i == bins ? high : low + ((high - low) * (i / (double)bins)))];

    private static double[] Count(double[] values, double[] edges)
    {
        var counts = new double[Math.Max(0, edges.Length - 1)];
        if (counts.Length == 0) return counts;
        var perUnit = counts.Length / (edges[^1] - edges[0]);
        foreach (var value in values)
            if (double.IsFinite(value)) counts[Math.Min((int)((value - edges[0]) * perUnit), counts.Length - 1)]++;
        return counts;
    }
}
