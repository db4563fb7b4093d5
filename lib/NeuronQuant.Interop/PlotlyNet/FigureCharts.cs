using NeuronQuant.Display;
using Plotly.NET;
using Plotly.NET.LayoutObjects;
using Plotly.NET.TraceObjects;
using Figure = NeuronQuant.Display.Figure;

namespace NeuronQuant.Interop.PlotlyNet;

/// <summary>A figure as a chart of Plotly.NET, to be styled further with that package's own methods.</summary>
/// <remarks>
/// <para>Layout, axes, legend, title, markers and colour bar are typed objects, never parsed from the figure's JSON: where Plotly.NET finds an
/// untyped object, a later <c>WithXAxisStyle</c> replaces the whole of it. Traces carry the same numbers as the JSON has.</para>
/// <para>Plotly reads tags in every text, and a page ends its script at a label with a closing script tag: "&lt;" becomes an entity. What cannot be
/// drawn (NaN, infinity) is null, a gap. As in the JSON, a heat map with logarithmic colour has log10 as its values.</para>
/// </remarks>
public static class FigureCharts
{
    /// <summary>The figure as a chart; changing the chart does not change the figure.</summary>
    public static GenericChart ToPlotlyNet(this Figure figure)
    {
        ArgumentNullException.ThrowIfNull(figure);
        Trace[] traces = [.. Traces(figure)];
        bool legend = traces.Length > 1 && figure.Kind != FigureKind.HeatMap;
        var layout = Layout.init<string>(Title: Title.init(Text: Text(figure.Title)), ShowLegend: legend,
            Width: figure.Width, Height: figure.Height, Shapes: figure.Thresholds.Count > 0 ? new(figure.Thresholds.Select(Line)) : null);
        layout.SetValue("legend", Legend.init(Orientation: StyleParam.Orientation.Horizontal));
        if (figure.Kind == FigureKind.Bar) layout.SetValue("barmode", StyleParam.BarMode.Group.Convert());
        if (figure.Kind == FigureKind.Histogram) layout.SetValue("barmode", StyleParam.BarMode.Overlay.Convert());
        layout.SetValue("xaxis", Axis(figure.XTitle, figure.Kind is FigureKind.Bar or FigureKind.HeatMap ? StyleParam.AxisType.Category : null));
        layout.SetValue("yaxis", YAxis(figure));
        return GenericChart.addLayout(layout, GenericChart.ofTraceObjects(true, traces));
    }

    private static LinearAxis YAxis(Figure figure)
    {
        bool matrix = figure.Kind == FigureKind.HeatMap;
        var axis = Axis(figure.YTitle, matrix ? StyleParam.AxisType.Category : figure.IsLogY ? StyleParam.AxisType.Log : null);
        if (matrix) axis.SetValue("autorange", StyleParam.AutoRange.Reversed.Convert());
        return axis;
    }

    private static LinearAxis Axis(string title, StyleParam.AxisType? type)
    {
        var axis = new LinearAxis();
        axis.SetValue("title", Title.init(Text: Text(title)));
        if (type is not null) axis.SetValue("type", type.Convert());
        return axis;
    }

    private static IEnumerable<Trace> Traces(Figure figure)
    {
        for (int i = 0; i < figure.Lines.Count; i++) yield return OfLine(figure, figure.Lines[i], i);
        for (int i = 0; i < figure.Bars.Count; i++) yield return OfBar(figure, figure.Bars[i], i);
        if (figure.Highlighted.Count > 0) yield return OfHighlight(figure);
        if (figure.Kind == FigureKind.Histogram)
        {
            var histograms = HistogramBins.Count(figure);
            for (int i = 0; i < histograms.Length; i++) yield return OfHistogram(histograms[i], i);
        }
        if (figure.Matrix is { } matrix) yield return OfMatrix(matrix);
    }

    private static Trace2D OfLine(Figure figure, LineSeries series, int index)
    {
        var trace = Start("scatter", series.Name);
        trace.SetValue("mode", (!figure.HasLines ? StyleParam.Mode.Markers : figure.HasMarkers ? StyleParam.Mode.Lines_Markers : StyleParam.Mode.Lines).Convert());
        trace.SetValue("x", Gaps(series.X));
        trace.SetValue("y", Gaps(series.Y));
        trace.SetValue("line", Plotly.NET.Line.init(Color: Color.fromString(Palette.Series(index))));
        trace.SetValue("marker", Filled(Color.fromString(Palette.Series(index))));
        return trace;
    }

    private static Trace2D OfBar(Figure figure, BarSeries series, int index)
    {
        var trace = Start("bar", series.Name);
        trace.SetValue("x", figure.Categories.Select(Text).ToArray());
        trace.SetValue("y", Gaps(series.Values));
        if (series.High is not null) trace.SetValue("error_y", Whiskers(series));
        trace.SetValue("marker", Filled(figure.Highlighted.Count == 0 ? Color.fromString(Palette.Series(index))
            : Color.fromColors(figure.Categories.Select((_, i) => Color.fromString(FigureMarks.BarColour(figure, index, i))))));
        return trace;
    }

    private static Error Whiskers(BarSeries series)
    {
        var error = new Error();
        error.SetValue("type", StyleParam.ErrorType.Data.Convert());
        error.SetValue("symmetric", false);
        error.SetValue("array", Gaps([.. series.High!.Zip(series.Values, (high, value) => high - value)]));
        error.SetValue("arrayminus", Gaps([.. series.Values.Zip(series.Low!, (value, low) => value - low)]));
        return error;
    }

    // Only an entry of the legend: a mark without a place, which takes no room beside the bars.
    private static Trace2D OfHighlight(Figure figure)
    {
        var trace = Start("scatter", figure.HighlightLabel);
        trace.SetValue("mode", StyleParam.Mode.Markers.Convert());
        trace.SetValue("x", figure.Categories.Take(1).Select(Text).ToArray());
        trace.SetValue("y", new double?[] { null });
        trace.SetValue("marker", Filled(Color.fromString(Palette.Highlight)));
        return trace;
    }

    private static Trace2D OfHistogram(HistogramSeries series, int index)
    {
        int[] bins = [.. Enumerable.Range(0, series.Counts!.Length)];
        var trace = Start("bar", series.Name);
        trace.SetValue("x", bins.Select(i => (series.Edges![i] + series.Edges[i + 1]) / 2).ToArray());
        trace.SetValue("y", Gaps(series.Counts));
        trace.SetValue("width", bins.Select(i => series.Edges![i + 1] - series.Edges[i]).ToArray());
        trace.SetValue("opacity", 0.6);
        trace.SetValue("marker", Filled(Color.fromString(Palette.Series(index))));
        return trace;
    }

    private static Trace2D OfMatrix(HeatMapData matrix)
    {
        var trace = Start("heatmap", matrix.ColourTitle);
        trace.SetValue("x", matrix.Columns.Select(Text).ToArray());
        trace.SetValue("y", matrix.Rows.Select(Text).ToArray());
        trace.SetValue("z", Enumerable.Range(0, matrix.Rows.Length).Select(row => Gaps([.. Enumerable.Range(0, matrix.Columns.Length)
            .Select(column => matrix.LogColour ? Math.Log10(matrix.Values[row, column]) : matrix.Values[row, column])])).ToArray());
        trace.SetValue("colorscale", Enumerable.Range(0, 6).Select(i => new object[] { i / 5.0, Palette.Sequential(i / 5.0) }).ToArray());
        var bar = new ColorBar();
        bar.SetValue("title", Title.init(Text: Text(matrix.LogColour ? $"log10 {matrix.ColourTitle}".TrimEnd() : matrix.ColourTitle)));
        trace.SetValue("colorbar", bar);
        return trace;
    }

    private static Shape Line(Threshold threshold) => Shape.init<double, double, double, double>(ShapeType: StyleParam.ShapeType.Line, Xref: "paper", X0: 0.0, X1: 1.0,
        Y0: threshold.Value, Y1: threshold.Value, Line: Plotly.NET.Line.init(Dash: StyleParam.DrawingStyle.Dash),
        Label: ShapeLabel.init(Text: Text(threshold.Label), TextPosition: StyleParam.TextPosition.TopRight));

    private static Trace2D Start(string type, string name)
    {
        var trace = new Trace2D(type);
        trace.SetValue("name", Text(name));
        return trace;
    }

    private static Marker Filled(Color colour)
    {
        var marker = new Marker();
        marker.SetValue("color", colour);
        return marker;
    }

    private static double?[] Gaps(double[] values) => [.. values.Select(value => double.IsFinite(value) ? value : (double?)null)];

    private static string Text(string text) => text.Replace("<", "&lt;", StringComparison.Ordinal);
}
