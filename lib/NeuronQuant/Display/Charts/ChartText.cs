namespace NeuronQuant.Display;

/// <summary>A chart as text, for a terminal, a difference and readers without a page: title, axes, and for each series its range and a sparkline.</summary>
internal static class ChartText
{
    private const string Blocks = "▁▂▃▄▅▆▇█";

    /// <summary>The lines, without one at the end.</summary>
    public static string Of(PictureData data)
    {
        string axes = string.Join(", ", new[] { ("x", data.XTitle), ("y", data.YTitle) }.Where(axis => axis.Item2.Length > 0).Select(axis => $"{axis.Item1}: {axis.Item2}"));
        var lines = new List<string> { data.Title + (axes.Length == 0 ? "" : $"  ({axes}{(data.LogY ? ", logarithmic" : "")})") };
        int width = data.Traces.Select(trace => trace.Name.Length).DefaultIfEmpty(0).Max();
        foreach (var trace in data.Traces) lines.Add($"  {trace.Name.PadRight(width)}  {trace.Y.Length} {(trace.IsBar ? "bars" : "points")}{Range(trace.Y)}  {Spark(trace.Y, data.LogY)}");
        if (data.Matrix is { } matrix) lines.Add($"  {(matrix.ColourTitle.Length > 0 ? matrix.ColourTitle : "values")}  {matrix.Rows.Length} x {matrix.Columns.Length} cells{Range([.. matrix.Values.SelectMany(row => row)])}");
        foreach (var (value, label) in data.Thresholds) lines.Add($"  line at {Numbers.Short(value)}: {label}");
        return string.Join('\n', lines.Select(line => line.TrimEnd()));
    }

    private static string Range(double[] values)
    {
        double[] finite = [.. values.Where(double.IsFinite)];
        if (finite.Length == 0) return ", none finite";
        string missing = finite.Length == values.Length ? "" : $" ({values.Length - finite.Length} not finite)";
        return $", {Numbers.Short(finite.Min())} to {Numbers.Short(finite.Max())}{missing}";
    }

    // Eight heights of a block character, at most forty of them, each the largest of its share.
    private static string Spark(double[] values, bool logarithmic)
    {
        int width = Math.Min(values.Length, 40);
        double[] heights = [.. Enumerable.Range(0, width).Select(i => values[(i * values.Length / width)..((i + 1) * values.Length / width)].Max()).Select(value => logarithmic ? Math.Log(value) : value)];
        double[] finite = [.. heights.Where(double.IsFinite)];
        if (finite.Length == 0) return "";
        var (low, high) = (finite.Min(), finite.Max());
        return string.Concat(heights.Select(value => !double.IsFinite(value) ? ' ' : high > low ? Blocks[(int)Math.Min(7, (value - low) / (high - low) * 8)] : Blocks[3]));
    }
}
