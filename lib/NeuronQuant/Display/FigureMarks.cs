using System.Text;

namespace NeuronQuant.Display;

/// <summary>The marks themselves: bars, bins, lines and points, each with its value as hover text.</summary>
/// <remarks>
/// A bar begins at zero and its length is proportional to its value; on a logarithmic axis it begins at the axis's end. A line is broken
/// where a value cannot be drawn, never bridged. Points get hover text only while there are few, since a page must stay small.
/// </remarks>
internal static class FigureMarks
{
    private const int MostHoverPoints = 250;
    private const int MostValueLabels = 12;

    public static void Write(SvgCanvas canvas, Figure figure, HistogramSeries[] histograms, FigureFrame frame)
    {
        for (var i = 0; i < figure.Bars.Count; i++) WriteBars(canvas, figure, i, frame);
        for (var i = 0; i < histograms.Length; i++) WriteBins(canvas, histograms, i, frame);
        for (var i = 0; i < figure.Lines.Count; i++) WriteLine(canvas, figure, i, frame);
    }

    /// <summary>The palette index of a series: one is skipped where it would be the highlight's own colour.</summary>
    public static int SeriesColourIndex(Figure figure, int index) => figure.Highlighted.Count > 0 && index >= 1 ? index + 1 : index;

    /// <summary>The colour of one bar.</summary>
    public static string BarColour(Figure figure, int series, int category) =>
        figure.Highlighted.Contains(category) ? Palette.Highlight : Palette.Series(SeriesColourIndex(figure, series));

    private static void WriteBars(SvgCanvas canvas, Figure figure, int series, FigureFrame frame)
    {
        var bars = figure.Bars[series];
        var group = frame.Slot * 0.78;
        var width = group / figure.Bars.Count;
        var zero = figure.IsLogY ? frame.Bottom : frame.Y[0];
        canvas.Open($"fill=\"{Palette.Series(SeriesColourIndex(figure, series))}\"");
        for (var i = 0; i < bars.Values.Length; i++)
        {
            if (!frame.Y.CanShow(bars.Values[i])) continue;
            var (x, y) = (frame.Centre(i) - (group / 2) + (series * width), frame.Y[bars.Values[i]]);
            var colour = figure.Highlighted.Contains(i) ? $"fill=\"{Palette.Highlight}\"" : "";
            canvas.Rect(x, Math.Min(y, zero), width * 0.96, Math.Abs(zero - y), colour,
                Hover(figure.Bars.Count > 1 ? bars.Name : "", figure.Categories[i], bars.Values[i]));
        }
        canvas.Close();
        if (bars.High is not null) WriteWhiskers(canvas, figure, series, frame);
        if (figure.Bars.Count == 1 && bars.Values.Length <= MostValueLabels) WriteValues(canvas, bars, frame);
    }

    private static void WriteWhiskers(SvgCanvas canvas, Figure figure, int series, FigureFrame frame)
    {
        var bars = figure.Bars[series];
        var (group, cap) = (frame.Slot * 0.78, Math.Min(6, frame.Slot * 0.2 / figure.Bars.Count));
        canvas.Open($"stroke=\"{Palette.Ink}\" stroke-width=\"1.4\"");
        for (var i = 0; i < bars.Values.Length; i++)
        {
            if (!frame.Y.CanShow(bars.Low![i]) || !frame.Y.CanShow(bars.High![i])) continue;
            var x = frame.Centre(i) - (group / 2) + ((series + 0.48) * group / figure.Bars.Count);
            var (low, high) = (frame.Y[bars.Low[i]], frame.Y[bars.High[i]]);
            canvas.Line(x, low, x, high, "", $"{figure.Categories[i]}: {Numbers.Short(bars.Low[i])} to {Numbers.Short(bars.High[i])}");
            canvas.Line(x - cap, low, x + cap, low);
            canvas.Line(x - cap, high, x + cap, high);
        }
        canvas.Close();
    }

    private static void WriteValues(SvgCanvas canvas, BarSeries bars, FigureFrame frame)
    {
        canvas.Open($"font-size=\"11\" text-anchor=\"middle\" stroke=\"{Palette.Background}\" stroke-width=\"3\" paint-order=\"stroke\"");
        for (var i = 0; i < bars.Values.Length; i++)
        {
            if (!frame.Y.CanShow(bars.Values[i])) continue;
            var end = bars.Values[i] < 0 ? bars.Low?[i] ?? bars.Values[i] : bars.High?[i] ?? bars.Values[i];
            canvas.Text(frame.Centre(i), frame.Y[end] + (bars.Values[i] < 0 ? 13 : -5), Numbers.Short(bars.Values[i]));
        }
        canvas.Close();
    }

    private static void WriteBins(SvgCanvas canvas, HistogramSeries[] all, int index, FigureFrame frame)
    {
        var series = all[index];
        canvas.Open($"fill=\"{Palette.Series(index)}\" fill-opacity=\"{(all.Length > 1 ? "0.6" : "0.9")}\"");
        for (var i = 0; i < series.Counts!.Length; i++)
        {
            if (!(series.Counts[i] > 0) || !double.IsFinite(series.Counts[i])) continue;
            var (left, right, y) = (frame.X[series.Edges![i]], frame.X[series.Edges[i + 1]], frame.Y[series.Counts[i]]);
            var gap = right - left > 4 ? 0.5 : 0;
            var interval = $"{Numbers.Short(series.Edges[i])} to {Numbers.Short(series.Edges[i + 1])}";
            canvas.Rect(left, y, right - left - gap, frame.Bottom - y, "", Hover(all.Length > 1 ? series.Name : "", interval, series.Counts[i]));
        }
        canvas.Close();
    }

    private static void WriteLine(SvgCanvas canvas, Figure figure, int index, FigureFrame frame)
    {
        var (series, colour) = (figure.Lines[index], Palette.Series(index));
        int[] shown = [.. Enumerable.Range(0, series.Y.Length).Where(i => double.IsFinite(series.X[i]) && frame.Y.CanShow(series.Y[i]))];
        if (shown.Length == 0) return;
        if (figure.HasLines) canvas.Path(Commands(series, shown, frame),
            $"fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-linejoin=\"round\" stroke-linecap=\"round\"{Palette.Dash(index)}");
        if (!figure.HasMarkers && shown.Length > MostHoverPoints) return;
        canvas.Open(figure.HasMarkers ? $"fill=\"{colour}\"" : "fill-opacity=\"0\"");
        foreach (var i in shown)
            canvas.Circle(frame.X[series.X[i]], frame.Y[series.Y[i]], figure.HasMarkers ? 3.2 : 5, "",
                shown.Length <= MostHoverPoints ? Hover(series.Name, Numbers.Short(series.X[i]), series.Y[i]) : null);
        canvas.Close();
    }

    private static string Commands(LineSeries series, int[] shown, FigureFrame frame)
    {
        var text = new StringBuilder();
        for (var k = 0; k < shown.Length; k++)
        {
            var i = shown[k];
            text.Append(k > 0 && shown[k - 1] == i - 1 ? 'L' : 'M').Append(Numbers.Fixed(frame.X[series.X[i]], 1)).Append(' ')
                .Append(Numbers.Fixed(frame.Y[series.Y[i]], 1));
        }
        return text.ToString();
    }

    private static string Hover(string series, string place, double value)
    {
        var where = series.Length > 0 ? $"{series}, {place}" : place;
        return $"{where}: {Numbers.Short(value)}";
    }
}
