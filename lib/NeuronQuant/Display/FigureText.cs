using System.Text;

namespace NeuronQuant.Display;

/// <summary>A figure in a terminal: one line for each series, with its range and a sparkline.</summary>
/// <remarks>A terminal, a log and a diff cannot show SVG; eight heights of a block character show the shape, the range shows the size.</remarks>
internal static class FigureText
{
    private const string Blocks = "▁▂▃▄▅▆▇█";
    private const int SparkWidth = 40;

    public static string Write(Figure figure)
    {
        var text = new StringBuilder(figure.Title);
        var axes = string.Join(", ", new[] { Axis("x", figure.XTitle), Axis("y", figure.YTitle) }.Where(part => part.Length > 0));
        if (axes.Length > 0) text.Append("  (").Append(axes).Append(figure.IsLogY ? ", logarithmic" : "").Append(')');
        var series = Series(figure).ToList();
        var nameWidth = series.Count == 0 ? 0 : series.Max(one => one.Name.Length);
        foreach (var (name, what, values) in series)
            text.Append("\n  ").Append(name.PadRight(nameWidth)).Append("  ").Append(what).Append(Range(values)).Append("  ")
                .Append(Spark(values, figure.IsLogY));
        if (series.Count == 0) text.Append("\n  no data");
        foreach (var threshold in figure.Thresholds) text.Append($"\n  line at {Numbers.Short(threshold.Value)}: {threshold.Label}");
        if (figure.Highlighted.Count > 0)
            text.Append($"\n  {figure.HighlightLabel}: ").Append(string.Join(", ", figure.Highlighted.Order().Select(i => figure.Categories[i])));
        return text.ToString();
    }

    private static string Axis(string name, string title) => title.Length == 0 ? "" : $"{name}: {title}";

    private static IEnumerable<(string Name, string What, double[] Values)> Series(Figure figure)
    {
        foreach (var line in figure.Lines) yield return (line.Name, $"{line.Y.Length} points", line.Y);
        foreach (var bar in figure.Bars) yield return (bar.Name, $"{bar.Values.Length} bars", bar.Values);
        if (figure.Kind == FigureKind.Histogram)
            foreach (var one in HistogramBins.Count(figure))
                yield return (one.Name, one.Edges!.Length < 2
                    ? "0 bins"
                    : $"{one.Counts!.Length} bins of {Numbers.Short(one.Edges[0])}..{Numbers.Short(one.Edges[^1])}, count", one.Counts!);
        if (figure.Matrix is { } matrix)
            yield return (matrix.ColourTitle.Length > 0 ? matrix.ColourTitle : "values", $"{matrix.Rows.Length} x {matrix.Columns.Length} cells",
                [.. matrix.Values.Cast<double>()]);
    }

    private static string Range(double[] values)
    {
        double[] finite = [.. values.Where(double.IsFinite)];
        if (finite.Length == 0) return ", none finite";
        var missing = finite.Length == values.Length ? "" : $" ({values.Length - finite.Length} not finite)";
        return $", {Numbers.Short(finite.Min())} to {Numbers.Short(finite.Max())}{missing}";
    }

    private static string Spark(double[] values, bool logarithmic)
    {
        var width = Math.Min(values.Length, SparkWidth);
        var heights = Enumerable.Range(0, width).Select(i => Largest(values, i * values.Length / width, (i + 1) * values.Length / width))
            .Select(v => logarithmic ? Math.Log(Math.Max(v, 0)) : v).ToArray();
        double[] finite = [.. heights.Where(double.IsFinite)];
        if (finite.Length == 0) return "";
        var (low, high) = (finite.Min(), finite.Max());
        return string.Concat(heights.Select(v => double.IsNegativeInfinity(v) && logarithmic ? ' '
            : !double.IsFinite(v) ? '?'
            : high > low ? Blocks[(int)Math.Min(7, (v - low) / (high - low) * 8)]
            : Blocks[3]));
    }

    private static double Largest(double[] values, int from, int to)
    {
        var largest = values[from];
        for (var i = from + 1; i < to; i++) largest = Math.Max(largest, values[i]);
        return largest;
    }
}
