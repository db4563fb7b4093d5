using System.Numerics;

namespace NeuronQuant.Display;

/// <summary>A picture of numbers: lines, bars, a histogram or a heat map.</summary>
/// <remarks>
/// <para>A notebook cell is three lines:
/// <c>Figure.Line("Outlier magnitude by layer", x: "layer", y: "variance").Add("self_attn", layers, values).Threshold(0.1, "kept in bf16")</c>.
/// Each method changes this figure and returns it.</para>
/// <para>A figure is emitted twice: as static SVG (<see cref="ToSvg"/>), which every host, GitHub and a printed page show, and as Plotly
/// JSON (<see cref="ToPlotlyJson"/>), which interactive hosts draw themselves. Both are a pure function of the data, byte for byte, so a
/// notebook's outputs can be compared. Four kinds and no more: whoever needs another takes the JSON to Plotly.</para>
/// <para>A value that cannot be drawn (NaN, infinity, not positive on a logarithmic axis) is left out, and the figure says how many were.</para>
/// </remarks>
[TypeFormatterSource(typeof(FigureFormatterSource), PreferredMimeTypes = ["text/html", FigureFormatterSource.PlotlyMimeType, "text/plain"])]
public sealed class Figure
{
    private readonly List<LineSeries> _lines = [];
    private readonly List<BarSeries> _bars = [];
    private readonly List<HistogramSeries> _histograms = [];
    private readonly List<Threshold> _thresholds = [];
    private readonly HashSet<int> _highlighted = [];

    private Figure(FigureKind kind, string title, string x, string y)
    {
        (Kind, Title, XTitle, YTitle) = (kind, title, x, y);
    }

    /// <summary>What is drawn.</summary>
    public FigureKind Kind { get; }

    /// <summary>The heading.</summary>
    public string Title { get; }

    /// <summary>The title of the horizontal axis, with its unit.</summary>
    public string XTitle { get; }

    /// <summary>The title of the vertical axis, with its unit.</summary>
    public string YTitle { get; }

    /// <summary>Series of a line figure.</summary>
    public IReadOnlyList<LineSeries> Lines => _lines;

    /// <summary>Series of a bar figure.</summary>
    public IReadOnlyList<BarSeries> Bars => _bars;

    /// <summary>Categories of a bar figure, left to right.</summary>
    public IReadOnlyList<string> Categories { get; private set; } = [];

    /// <summary>Series of a histogram.</summary>
    public IReadOnlyList<HistogramSeries> Histograms => _histograms;

    /// <summary>How many bins a histogram counts raw values into.</summary>
    public int BinCount { get; private init; } = 40;

    /// <summary>The matrix of a heat map.</summary>
    public HeatMapData? Matrix { get; private init; }

    /// <summary>Horizontal lines that decide something.</summary>
    public IReadOnlyList<Threshold> Thresholds => _thresholds;

    /// <summary>Indices of the categories of a bar figure that are drawn in the highlight colour.</summary>
    public IReadOnlySet<int> Highlighted => _highlighted;

    /// <summary>What the highlight means, for the legend.</summary>
    public string HighlightLabel { get; private set; } = "";

    /// <summary>Whether the vertical axis is logarithmic.</summary>
    public bool IsLogY { get; private set; }

    /// <summary>Whether each point of a line has a mark.</summary>
    public bool HasMarkers { get; private set; }

    /// <summary>Whether the points of a series are joined.</summary>
    public bool HasLines { get; private set; } = true;

    /// <summary>Width in pixels at full size; a narrow page scales the figure down.</summary>
    public int Width { get; private set; } = 720;

    /// <summary>Height in pixels; a figure with long labels or a heat map with many rows grows beyond it.</summary>
    public int Height { get; private set; } = 380;

    /// <summary>A figure of lines over a numeric axis. Axis titles carry their unit: "size (MiB)".</summary>
    public static Figure Line(string title, string x = "", string y = "") => new(FigureKind.Line, title, x, y);

    /// <summary>A figure of vertical bars; several series stand side by side.</summary>
    public static Figure Bar(string title, string x = "", string y = "") => new(FigureKind.Bar, title, x, y);

    /// <summary>A histogram; several series lie over each other in the same bins.</summary>
    public static Figure Histogram(string title, string x = "", string y = "count", int bins = 40)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bins, 1);
        return new(FigureKind.Histogram, title, x, y) { BinCount = bins };
    }

    /// <summary>A matrix of values [rows, columns] as colours from pale (least) to dark (most).</summary>
    /// <exception cref="ArgumentException">The number of labels is not the number of rows or columns, or there are more than 20 000
    /// cells.</exception>
    public static Figure HeatMap(string title, double[,] values, IEnumerable<string>? rows = null, IEnumerable<string>? columns = null,
        string x = "", string y = "", string colour = "", bool showValues = false, bool logColour = false)
    {
        var rowLabels = Labels(rows, values.GetLength(0), "row");
        var columnLabels = Labels(columns, values.GetLength(1), "column");
        if (values.Length > 20_000)
            throw new ArgumentException($"A heat map of {rowLabels.Length} x {columnLabels.Length} cells is more than a page can show (20 000): "
                + "average it into fewer cells first.", nameof(values));
        var matrix = new HeatMapData((double[,])values.Clone(), rowLabels, columnLabels, colour, showValues, logColour);
        return new(FigureKind.HeatMap, title, x, y) { Matrix = matrix };
    }

    /// <summary>A heat map of a list of numbers, so many to a row, with every value written in its cell: a small weight, seen whole.</summary>
    /// <exception cref="ArgumentException">The values do not fill whole rows.</exception>
    public static Figure Cells<T>(string title, IEnumerable<T> values, int columns) where T : INumber<T>
    {
        var numbers = Doubles(values);
        if (columns < 1 || numbers.Length == 0 || numbers.Length % columns != 0)
            throw new ArgumentException($"{numbers.Length} values do not fill rows of {columns}.", nameof(columns));
        var matrix = new double[numbers.Length / columns, columns];
        for (var i = 0; i < numbers.Length; i++) matrix[i / columns, i % columns] = numbers[i];
        return HeatMap(title, matrix, showValues: true).Size(380, 260);
    }

    /// <summary>Adds a line: one value for each position.</summary>
    public Figure Add<TX, TY>(string name, IEnumerable<TX> x, IEnumerable<TY> y) where TX : INumber<TX> where TY : INumber<TY>
    {
        Require(FigureKind.Line, "positions and values");
        var series = new LineSeries(name, Doubles(x), Doubles(y));
        RequireLength(name, series.Y.Length, series.X.Length, "positions");
        _lines.Add(series);
        return this;
    }

    /// <summary>Adds bars: one value for each category. Every series of a figure has the same categories.</summary>
    public Figure Add<T>(string name, IEnumerable<string> categories, IEnumerable<T> values) where T : INumber<T> =>
        AddBars(new BarSeries(name, Doubles(values)), [.. categories]);

    /// <summary>Adds bars with an interval each, drawn as a whisker from its lower to its upper end.</summary>
    /// <exception cref="ArgumentException">The numbers of values and ends differ, or a value lies outside of its interval.</exception>
    public Figure Add<T>(string name, IEnumerable<string> categories, IEnumerable<T> values, IEnumerable<(T Low, T High)> intervals) where T : INumber<T>
    {
        var (numbers, ends) = (Doubles(values), intervals.ToArray());
        RequireLength(name, ends.Length, numbers.Length, "values");
        var series = new BarSeries(name, numbers, Doubles(ends.Select(end => end.Low)), Doubles(ends.Select(end => end.High)));
        for (var i = 0; i < numbers.Length; i++)
            if (numbers[i] < series.Low![i] || numbers[i] > series.High![i])
                throw new ArgumentException($"Series \"{name}\": {Numbers.Short(numbers[i])} lies outside of its interval, "
                    + $"{Numbers.Short(series.Low[i])} to {Numbers.Short(series.High![i])}.", nameof(intervals));
        return AddBars(series, [.. categories]);
    }

    private Figure AddBars(BarSeries series, string[] labels)
    {
        Require(FigureKind.Bar, "categories and values");
        var name = series.Name;
        RequireLength(name, series.Values.Length, labels.Length, "categories");
        if (_bars.Count > 0 && !labels.SequenceEqual(Categories))
            throw new ArgumentException($"Series \"{name}\" has other categories than series \"{_bars[0].Name}\": bars are grouped by category, "
                + "so give every series the same list.", nameof(labels));
        Categories = labels;
        _bars.Add(series);
        return this;
    }

    /// <summary>Adds values: those to be counted by a histogram, or those of a line at positions 0, 1, 2...</summary>
    public Figure Add<T>(string name, IEnumerable<T> values) where T : INumber<T>
    {
        var numbers = Doubles(values);
        if (Kind == FigureKind.Line) return Add(name, Enumerable.Range(0, numbers.Length), numbers);
        Require(FigureKind.Histogram, "values alone");
        _histograms.Add(new HistogramSeries(name, numbers, null, null));
        return this;
    }

    /// <summary>Adds a histogram counted elsewhere, as for a tensor too large to hold here.</summary>
    /// <param name="name">What the legend calls it.</param>
    /// <param name="edges">Ascending, one more than <paramref name="counts"/>.</param>
    /// <param name="counts">How many values each bin holds.</param>
    public Figure AddCounts<TX, TY>(string name, IEnumerable<TX> edges, IEnumerable<TY> counts) where TX : INumber<TX> where TY : INumber<TY>
    {
        Require(FigureKind.Histogram, "edges and counts");
        var (bounds, heights) = (Doubles(edges), Doubles(counts));
        RequireLength(name, heights.Length, Math.Max(0, bounds.Length - 1), "bins");
        for (var i = 1; i < bounds.Length; i++)
            if (!(bounds[i] > bounds[i - 1]) || !double.IsFinite(bounds[i] - bounds[i - 1]))
                throw new ArgumentException($"Series \"{name}\": bin edges must be finite and ascend, but edge {i} is {Numbers.Short(bounds[i])} "
                    + $"after {Numbers.Short(bounds[i - 1])}.", nameof(edges));
        _histograms.Add(new HistogramSeries(name, null, bounds, heights));
        return this;
    }

    /// <summary>Draws a dashed horizontal line with a label.</summary>
    public Figure Threshold(double value, string label)
    {
        if (!double.IsFinite(value)) throw new ArgumentException($"Threshold \"{label}\" is {Numbers.Short(value)}: give a finite value.",
            nameof(value));
        _thresholds.Add(new Threshold(value, label));
        return this;
    }

    /// <summary>Draws the bars of these categories in the highlight colour.</summary>
    public Figure Highlight(IEnumerable<string> categories, string label)
    {
        foreach (var category in categories)
        {
            var index = Categories.ToList().IndexOf(category);
            if (index < 0) throw new ArgumentException($"No bar is called \"{category}\": add the series before its highlight.", nameof(categories));
            _highlighted.Add(index);
        }
        HighlightLabel = label;
        return this;
    }

    /// <summary>Draws the bars whose value (in any series) meets the condition in the highlight colour.</summary>
    public Figure Highlight(Func<double, bool> condition, string label) =>
        Highlight(Categories.Where((_, index) => _bars.Any(series => condition(series.Values[index]))), label);

    /// <summary>Makes the vertical axis logarithmic.</summary>
    public Figure LogY()
    {
        IsLogY = true;
        return this;
    }

    /// <summary>Marks each point of the lines.</summary>
    public Figure WithMarkers()
    {
        HasMarkers = true;
        return this;
    }

    /// <summary>Marks each point and draws no line between them: a scatter plot.</summary>
    public Figure PointsOnly()
    {
        (HasMarkers, HasLines) = (true, false);
        return this;
    }

    /// <summary>Sets the size in pixels.</summary>
    public Figure Size(int width, int height)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 200);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 120);
        (Width, Height) = (width, height);
        return this;
    }

    /// <summary>The figure as one static SVG element.</summary>
    public string ToSvg() => FigureSvg.Render(this);

    /// <summary>The figure for an HTML page: its SVG.</summary>
    public string ToHtml() => ToSvg();

    /// <summary>The figure as Plotly's <c>{"data":[...],"layout":{...}}</c>, with the exact numbers.</summary>
    public string ToPlotlyJson() => PlotlyJson.Write(this);

    /// <summary>The figure for a terminal: title, and for each series its range and a small text picture.</summary>
    public override string ToString() => FigureText.Write(this);

    private static double[] Doubles<T>(IEnumerable<T> values) where T : INumber<T> => [.. values.Select(double.CreateChecked)];

    private static string[] Labels(IEnumerable<string>? labels, int count, string what)
    {
        if (labels is null) return [.. Enumerable.Range(0, count).Select(i => i.ToString(System.Globalization.CultureInfo.InvariantCulture))];
        string[] given = [.. labels];
        if (given.Length != count) throw new ArgumentException($"{given.Length} {what} labels for {count} {what}s: give one for each.");
        return given;
    }

    private void Require(FigureKind kind, string what)
    {
        if (Kind != kind) throw new InvalidOperationException($"\"{Title}\" is a {Kind} figure and cannot take {what}: that is for a {kind} figure.");
    }

    private void RequireLength(string name, int values, int others, string what)
    {
        if (values != others) throw new ArgumentException($"Figure \"{Title}\", series \"{name}\": {values} values for {others} {what}.");
    }
}
