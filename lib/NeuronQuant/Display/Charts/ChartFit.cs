using Plotly.NET;

namespace NeuronQuant.Display;

/// <summary>Tells plotly.js what it cannot see for itself in a whole chart, so that the page's figure reads like the static picture.</summary>
/// <remarks>
/// Its legend grows upwards over the heading, so the margin must know how many rows there will be. On a logarithmic axis it writes a lone 2 or 5
/// between the powers of ten, or crowds a short one. Between whole numbers such as layers it puts halves.
/// </remarks>
internal static class ChartFit
{
    private const double Entry = 46;
    private const int Row = 20;

    /// <summary>Sets the margin and the marks of the axes, and nothing that the picture shows; a second call changes nothing.</summary>
    public static GenericChart Fitted(this GenericChart chart)
    {
        var data = PictureData.Of(chart);
        string[] names = [.. data.Traces.Select(trace => trace.Name), .. data.Thresholds.Select(line => line.Label)];
        int rows = names.Length < 2 ? 0 : Rows(names, data.Width - 80);
        chart.Layout(layout => layout.Set("margin", new { l = 60, r = 20, t = 60 + (Row * rows), b = 50 }));
        if (data.LogX) chart.Axis("xaxis", axis => Mark(axis, data.Traces.SelectMany(trace => trace.X)));
        else if (data.Categories is null && WholeAndFew(data)) chart.Axis("xaxis", axis => axis.Set("dtick", 1));
        if (data.LogY) chart.Axis("yaxis", axis => Mark(axis, data.Traces.SelectMany(trace => trace.Y).Concat(data.Thresholds.Select(line => line.Value))));
        return chart;
    }

    // plotly.js gives every entry the width of the widest.
    private static int Rows(string[] names, double width) => (int)Math.Ceiling(names.Length / Math.Max(1, Math.Floor(width / (Entry + names.Max(name => TextWidth.Of(name, 13))))));

    private static bool WholeAndFew(PictureData data)
    {
        double[] x = [.. data.Traces.Where(trace => trace.Widths is null).SelectMany(trace => trace.X)];
        return x.Length > 0 && x.All(value => value == Math.Floor(value)) && x.Max() - x.Min() <= 12;
    }

    private static void Mark(DynamicObj.DynamicObj axis, IEnumerable<double> values)
    {
        double[] shown = [.. values.Where(value => double.IsFinite(value) && value > 0)];
        if (shown.Length == 0) return;
        var ticks = Ticks.Logarithmic(shown.Min() / 1.4, shown.Max() * 1.4);
        axis.Set("tickvals", ticks.Values).Set("ticktext", ticks.Labels);
    }
}
