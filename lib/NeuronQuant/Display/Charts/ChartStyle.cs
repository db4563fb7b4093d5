using Microsoft.FSharp.Core;
using Plotly.NET;
using Plotly.NET.LayoutObjects;

namespace NeuronQuant.Display;

/// <summary>What Plotly.NET's C# interface has no word for, in plotly.js's own words: titles, shapes, and any other attribute.</summary>
/// <remarks>Each changes the chart and returns it. <see cref="Layout"/> and <see cref="Traces"/> reach everything that plotly.js documents.</remarks>
public static class ChartStyle
{
    /// <summary>Sets attributes of the layout: <c>chart.Layout(layout => layout.Set("barmode", "group"))</c>.</summary>
    public static GenericChart Layout(this GenericChart chart, Action<Layout> change)
    {
        ArgumentNullException.ThrowIfNull(change);
        var layout = GenericChart.getLayout(chart);
        change(layout);
        return GenericChart.setLayout(layout, chart);
    }

    /// <summary>Sets attributes of every trace: <c>chart.Traces(trace => trace.Set("opacity", 0.5))</c>.</summary>
    public static GenericChart Traces(this GenericChart chart, Action<Trace> change) => GenericChart.mapTrace(FuncConvert.FromFunc<Trace, Trace>(trace =>
    {
        change(trace);
        return trace;
    }), chart);

    /// <summary>Sets one attribute by plotly.js's name.</summary>
    public static T Set<T>(this T target, string name, object value) where T : DynamicObj.DynamicObj
    {
        ArgumentNullException.ThrowIfNull(target);
        target.SetProperty(name, value);
        return target;
    }

    /// <summary>Gives the chart its heading.</summary>
    public static GenericChart Titled(this GenericChart chart, string title) => chart.Layout(layout => layout.Set("title", new { text = title }));

    /// <summary>Names the axes, with their units: "size (MiB)".</summary>
    public static GenericChart Axes(this GenericChart chart, string x, string y) =>
        chart.Axis("xaxis", axis => axis.Set("title", new { text = x })).Axis("yaxis", axis => axis.Set("title", new { text = y }));

    /// <summary>Makes the vertical axis logarithmic.</summary>
    public static GenericChart LogY(this GenericChart chart) => chart.Axis("yaxis", Logarithmic);

    /// <summary>Makes the horizontal axis logarithmic.</summary>
    public static GenericChart LogX(this GenericChart chart) => chart.Axis("xaxis", Logarithmic);

    /// <summary>Lets the vertical axis begin and end here, as where a difference would vanish beside the zero.</summary>
    public static GenericChart RangeY(this GenericChart chart, double from, double to) => chart.Axis("yaxis", axis => axis.Set("range", new[] { from, to }));

    /// <summary>Draws a dashed horizontal line, which the legend names: a label beside it would lie on what the line is compared with.</summary>
    /// <exception cref="ArgumentException">the value is not finite</exception>
    public static GenericChart Threshold(this GenericChart chart, double value, string label)
    {
        if (!double.IsFinite(value)) throw new ArgumentException($"Threshold \"{label}\" is {Numbers.Short(value)}: give a finite value.", nameof(value));
        object line = new { type = "line", name = label, showlegend = true, xref = "paper", x0 = 0, x1 = 1, y0 = value, y1 = value, line = new { dash = "dash", width = 1.5, color = Palette.Muted } };
        return chart.Layout(layout => layout.Set("shapes", (object[])[.. Shapes(layout), line]));
    }

    /// <summary>Draws each value's interval as a whisker from its lower to its upper end.</summary>
    /// <exception cref="ArgumentException">the numbers of values and ends differ, or a value lies outside of its interval</exception>
    public static GenericChart Between(this GenericChart chart, IEnumerable<double> values, IEnumerable<(double Low, double High)> intervals)
    {
        var (numbers, ends) = (values.ToArray(), intervals.ToArray());
        if (numbers.Length != ends.Length) throw new ArgumentException($"{ends.Length} intervals for {numbers.Length} values.", nameof(intervals));
        for (int i = 0; i < numbers.Length; i++)
            if (numbers[i] < ends[i].Low || numbers[i] > ends[i].High)
                throw new ArgumentException($"{Numbers.Short(numbers[i])} lies outside of its interval, {Numbers.Short(ends[i].Low)} to {Numbers.Short(ends[i].High)}.", nameof(intervals));
        double[] up = [.. numbers.Zip(ends, (value, end) => end.High - value)], down = [.. numbers.Zip(ends, (value, end) => value - end.Low)];
        return chart.Traces(trace => trace.Set("error_y", new { type = "data", symmetric = false, array = up, arrayminus = down, thickness = 1.2, width = 4 }));
    }

    /// <summary>Sets the size in pixels.</summary>
    public static GenericChart Sized(this GenericChart chart, int width, int height) => chart.Layout(layout => layout.Set("width", width).Set("height", height));

    /// <summary>The chart as one static SVG element; scatter, bar and heatmap are drawn.</summary>
    public static string ToSvg(this GenericChart chart)
    {
        var data = PictureData.Of(chart);
        return data.Matrix is { } matrix ? HeatMapPicture.Draw(data, matrix) : PlotPicture.Draw(data);
    }

    /// <summary>The chart for a terminal: title, axes, and each series with its range.</summary>
    public static string ToText(this GenericChart chart) => ChartText.Of(PictureData.Of(chart));

    internal static GenericChart Axis(this GenericChart chart, string name, Action<DynamicObj.DynamicObj> change) => chart.Layout(layout =>
    {
        var axis = layout.TryGetPropertyValue(name) is { } found && FSharpOption<object>.get_IsSome(found) && found.Value is DynamicObj.DynamicObj given ? given : new LinearAxis();
        change(axis);
        layout.Set(name, axis);
    });

    private static void Logarithmic(DynamicObj.DynamicObj axis) => axis.Set("type", "log");

    private static object[] Shapes(Layout layout) =>
        layout.TryGetPropertyValue("shapes") is { } found && FSharpOption<object>.get_IsSome(found) && found.Value is object[] shapes ? shapes : [];
}
