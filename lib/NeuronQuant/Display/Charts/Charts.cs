using System.Numerics;
using Plotly.NET;
using Chart = Plotly.NET.CSharp.Chart;

namespace NeuronQuant.Display;

/// <summary>The shapes that recur in the lessons, one line each; everything else is Plotly.NET's own.</summary>
/// <remarks>
/// <para>Each returns a Plotly.NET chart, which a cell may restyle or combine with others:
/// <c>Charts.Together(Charts.Line("a", x, y), Charts.Line("b", x, z)).Titled("Error").Axes("bits", "dB").LogY()</c>.</para>
/// <para>Numbers of any type are taken. A line joins measurements over a numeric axis, points are measurements that nothing joins, steps hold
/// their value until the next.</para>
/// </remarks>
public static class Charts
{
    /// <summary>Most cells of a heat map: more than a page can show.</summary>
    public const int MostCells = 20_000;

    /// <summary>A line with a mark at each point.</summary>
    /// <exception cref="ArgumentException">the numbers of positions and values differ</exception>
    public static GenericChart Line<TX, TY>(string name, IEnumerable<TX> x, IEnumerable<TY> y, bool markers = true) where TX : INumber<TX> where TY : INumber<TY>
    {
        var (positions, values) = Pair(name, x, y);
        return Chart.Line<double, double, string>(x: positions, y: values, Name: name, ShowMarkers: markers);
    }

    /// <summary>Points that nothing joins.</summary>
    /// <param name="name">what the legend calls them</param>
    /// <param name="x">positions</param>
    /// <param name="y">values</param>
    /// <param name="labels">what a pointer over each is told; null for its numbers alone</param>
    /// <exception cref="ArgumentException">the numbers of positions, values and labels differ</exception>
    public static GenericChart Points<TX, TY>(string name, IEnumerable<TX> x, IEnumerable<TY> y, IEnumerable<string>? labels = null) where TX : INumber<TX> where TY : INumber<TY>
    {
        var (positions, values) = Pair(name, x, y);
        var chart = Chart.Point<double, double, string>(x: positions, y: values, Name: name);
        if (labels is null) return chart;
        string[] texts = [.. labels];
        if (texts.Length != values.Length) throw new ArgumentException($"Series \"{name}\": {texts.Length} labels for {values.Length} points.", nameof(labels));
        return chart.Traces(trace => trace.Set("text", texts).Set("hovertemplate", "<b>%{text}</b><br>%{x:.4g}, %{y:.4g}<extra></extra>"));
    }

    /// <summary>A line of steps: each value holds until the next position.</summary>
    /// <exception cref="ArgumentException">the numbers of positions and values differ</exception>
    public static GenericChart Steps<TX, TY>(string name, IEnumerable<TX> x, IEnumerable<TY> y) where TX : INumber<TX> where TY : INumber<TY> =>
        Line(name, x, y, markers: false).Traces(trace => trace.Set("line", new { shape = "hv" }));

    /// <summary>Bars: one value for each category. Several series stand side by side.</summary>
    /// <exception cref="ArgumentException">the numbers of categories and values differ</exception>
    public static GenericChart Bars<T>(string name, IEnumerable<string> categories, IEnumerable<T> values) where T : INumber<T>
    {
        var (labels, numbers) = (categories.ToArray(), Doubles(values));
        Require(name, numbers.Length, labels.Length, "categories");
        return Chart.Column<double, string, string>(values: numbers, Keys: labels, Name: name);
    }

    /// <summary>How many values fall in each of so many bins of equal width; values that are not finite are left out.</summary>
    public static GenericChart Histogram<T>(string name, IEnumerable<T> values, int bins = 40) where T : INumber<T>
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bins, 1);
        double[] all = [.. Doubles(values).Where(double.IsFinite)];
        if (all.Length == 0) return Counts(name, [0.0, 1.0], [0]);
        var (low, high) = (all.Min(), all.Max());
        if (low == high) (low, high) = (low - (low == 0 ? 0.5 : 0.05 * Math.Abs(low)), high + (high == 0 ? 0.5 : 0.05 * Math.Abs(high)));
        var counts = new int[bins];
        foreach (double value in all) counts[Math.Min((int)((value - low) / (high - low) * bins), bins - 1)]++;
        return Counts(name, Enumerable.Range(0, bins + 1).Select(i => i == bins ? high : low + ((high - low) * i / bins)), counts);
    }

    /// <summary>A histogram that was counted elsewhere, as for a tensor too large to hold here.</summary>
    /// <param name="name">what the legend calls it</param>
    /// <param name="edges">ascending, one more than counts</param>
    /// <param name="counts">how many values each bin holds</param>
    /// <exception cref="ArgumentException">the numbers do not fit, or the edges do not ascend</exception>
    public static GenericChart Counts<TX, TY>(string name, IEnumerable<TX> edges, IEnumerable<TY> counts) where TX : INumber<TX> where TY : INumber<TY>
    {
        var (bounds, heights) = (Doubles(edges), Doubles(counts));
        Require(name, heights.Length, Math.Max(0, bounds.Length - 1), "bins");
        for (int i = 1; i < bounds.Length; i++)
            if (!(bounds[i] > bounds[i - 1]))
                throw new ArgumentException($"Series \"{name}\": bin edges must ascend, but edge {i} is {Numbers.Short(bounds[i])} after {Numbers.Short(bounds[i - 1])}.", nameof(edges));
        double[] centres = [.. bounds.Skip(1).Zip(bounds, (high, low) => (high + low) / 2)], widths = [.. bounds.Skip(1).Zip(bounds, (high, low) => high - low)];
        return Chart.Column<double, double, string>(values: heights, Keys: centres, Name: name)
            .Traces(trace => trace.Set("width", widths)).Layout(layout => layout.Set("bargap", 0).Set("barmode", "overlay"));
    }

    /// <summary>A matrix of values [rows, columns] as colours: pale to dark, or, where the values have both signs, blue through white to red.</summary>
    /// <param name="values">[rows, columns]; the first row on top</param>
    /// <param name="rows">a label for each row; numbers from 0 when null</param>
    /// <param name="columns">a label for each column</param>
    /// <param name="colour">what the colour means, with its unit; where it is empty and the values are written, there is no colour bar</param>
    /// <param name="showValues">write each value in its cell; when null, where there are at most 100</param>
    /// <param name="texts">what is written in each cell in place of its value, [rows, columns]; null for the values</param>
    /// <exception cref="ArgumentException">a label or a text is missing, or there are more than <see cref="MostCells"/> cells</exception>
    public static GenericChart HeatMap(double[,] values, IEnumerable<string>? rows = null, IEnumerable<string>? columns = null, string colour = "", bool? showValues = null, string[,]? texts = null)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (values.Length > MostCells) throw new ArgumentException($"A heat map of {values.GetLength(0)} x {values.GetLength(1)} cells is more than a page can show ({MostCells}): average it first.", nameof(values));
        string[] rowLabels = Labels(rows, values.GetLength(0), "row"), columnLabels = Labels(columns, values.GetLength(1), "column");
        double[][] cells = [.. Enumerable.Range(0, rowLabels.Length).Select(row => Enumerable.Range(0, columnLabels.Length).Select(column => values[row, column]).ToArray())];
        double[] finite = [.. cells.SelectMany(row => row).Where(double.IsFinite)];
        bool signed = finite.Any(value => value < 0) && finite.Any(value => value > 0);
        var chart = Chart.Heatmap<double, string, string, string>(zData: cells, X: columnLabels, Y: rowLabels, ReverseYAxis: true).Traces(trace => trace
            .Set("colorscale", signed ? Palette.DivergingScale : Palette.SequentialScale).Set("xgap", 1).Set("ygap", 1).Set("colorbar", new { title = new { text = colour, side = "right" }, thickness = 14 }));
        if (signed) chart.Traces(trace => trace.Set("zmid", 0));
        bool written = texts is not null || (showValues ?? values.Length <= 100);
        if (written && colour.Length == 0) chart.Traces(trace => trace.Set("showscale", false));
        if (texts is not null)
        {
            if ((texts.GetLength(0), texts.GetLength(1)) != (values.GetLength(0), values.GetLength(1))) throw new ArgumentException("Give a text for each value.", nameof(texts));
            string[][] cellTexts = [.. Enumerable.Range(0, rowLabels.Length).Select(row => Enumerable.Range(0, columnLabels.Length).Select(column => texts[row, column]).ToArray())];
            return chart.Traces(trace => trace.Set("text", cellTexts).Set("texttemplate", "%{text}").Set("hoverinfo", "text").Set("hoverongaps", false));
        }
        return written ? chart.Traces(trace => trace.Set("texttemplate", "%{z:.3~g}")) : chart;
    }

    /// <summary>A heat map of a list of numbers, so many to a row, every value written in its cell: a small weight, seen whole.</summary>
    /// <exception cref="ArgumentException">the values do not fill whole rows</exception>
    public static GenericChart Cells<T>(IEnumerable<T> values, int columns) where T : INumber<T>
    {
        double[] numbers = Doubles(values);
        if (columns < 1 || numbers.Length == 0 || numbers.Length % columns != 0) throw new ArgumentException($"{numbers.Length} values do not fill rows of {columns}.", nameof(columns));
        var matrix = new double[numbers.Length / columns, columns];
        for (int i = 0; i < numbers.Length; i++) matrix[i / columns, i % columns] = numbers[i];
        return HeatMap(matrix, showValues: true).Sized(440, 300);
    }

    /// <summary>Small matrices beside each other, each value written in its cell: what a step makes of every number of the one before it.</summary>
    /// <remarks>Each panel is coloured by the share of its own largest magnitude, so that equal colours are equal weights, in whatever unit a panel counts.</remarks>
    /// <param name="columns">of every panel</param>
    /// <param name="panels">a short name, and the values in rows; all of one length</param>
    /// <exception cref="ArgumentException">the values do not fill whole rows, or a panel has another number of them</exception>
    public static GenericChart Beside(int columns, params (string Name, IEnumerable<double> Values)[] panels)
    {
        ArgumentNullException.ThrowIfNull(panels);
        double[][] all = [.. panels.Select(panel => panel.Values.ToArray())];
        if (columns < 1 || all.Length == 0 || all.Any(values => values.Length == 0 || values.Length % columns != 0 || values.Length != all[0].Length))
            throw new ArgumentException($"Panels of {string.Join(", ", all.Select(values => values.Length))} values in rows of {columns}: give each as many, in whole rows.", nameof(panels));
        int pitch = columns + 1, wide = (pitch * all.Length) - 1, high = all[0].Length / columns;
        var (shares, texts, labels) = (new double[high, wide], new string[high, wide], new string[wide]);
        for (int column = 0; column < wide; column++)
        {
            var (panel, within) = (column / pitch, column % pitch);
            labels[column] = within == columns / 2 ? panels[panel].Name : new string(' ', column + 1); // plotly.js wants each label once
            double largest = all[panel].Max(Math.Abs);
            for (int row = 0; row < high; row++)
            {
                double value = within < columns ? all[panel][(row * columns) + within] : double.NaN;
                (shares[row, column], texts[row, column]) = (largest > 0 ? value / largest : value, double.IsNaN(value) ? "" : Numbers.Short(value, 3));
            }
        }
        return HeatMap(shares, columns: labels, rows: Enumerable.Range(1, high).Select(row => $"{row}"), texts: texts)
            .Axis("xaxis", axis => axis.Set("tickvals", panels.Select(panel => panel.Name).ToArray()).Set("tickangle", 0)).Sized(Math.Max(440, 60 + (47 * wide)), 120 + (44 * high));
    }

    /// <summary>Several charts in one frame; bars of several series stand side by side.</summary>
    public static GenericChart Together(params IEnumerable<GenericChart> charts) => Chart.Combine(charts);

    private static (double[] X, double[] Y) Pair<TX, TY>(string name, IEnumerable<TX> x, IEnumerable<TY> y) where TX : INumber<TX> where TY : INumber<TY>
    {
        var (positions, values) = (Doubles(x), Doubles(y));
        Require(name, values.Length, positions.Length, "positions");
        return (positions, values);
    }

    private static double[] Doubles<T>(IEnumerable<T> values) where T : INumber<T> => [.. values.Select(double.CreateChecked)];

    private static void Require(string name, int values, int others, string what)
    {
        if (values != others) throw new ArgumentException($"Series \"{name}\": {values} values for {others} {what}.");
    }

    private static string[] Labels(IEnumerable<string>? labels, int count, string what)
    {
        string[] given = labels is null ? [.. Enumerable.Range(0, count).Select(i => i.ToString(System.Globalization.CultureInfo.InvariantCulture))] : [.. labels];
        return given.Length == count ? given : throw new ArgumentException($"{given.Length} {what} labels for {count} {what}s: give one for each.");
    }
}
