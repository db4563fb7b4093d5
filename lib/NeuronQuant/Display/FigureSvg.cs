namespace NeuronQuant.Display;

/// <summary>Draws a figure as SVG: heading, legend, axes, marks, thresholds, notes, in that order from the back to the front.</summary>
/// <remarks>
/// The heading and legend stand above the plot and the notes below it, and each takes the height it needs from the figure, never from the
/// plot's minimum: a figure with a long legend grows. What could not be drawn is a note, not a hole.
/// </remarks>
internal static class FigureSvg
{
    /// <summary>The heading's size as measured: bold letters are wider than the estimate for plain ones.</summary>
    public const double TitleSize = 16.5;

    private const double Side = 16;
    private const double LegendRow = 18;

    public static string Render(Figure figure)
    {
        if (figure.Kind == FigureKind.HeatMap) return HeatMapSvg.Render(figure);
        var histograms = figure.Kind == FigureKind.Histogram ? HistogramBins.Count(figure) : [];
        var range = FigureRange.Of(figure, histograms);
        var title = TextWidth.Wrap(figure.Title, TitleSize, figure.Width - (2 * Side), 2);
        var legend = LegendRows(Legend(figure), figure.Width - (2 * Side));
        var top = Heading(title) + (legend.Count * LegendRow) + 10;
        var frame = FigureFrame.Plan(figure, range, top, range.Notes.Length * 15);
        var canvas = new SvgCanvas(figure.Width, frame.TotalHeight, figure.Title);
        WriteTitle(canvas, title);
        WriteLegend(canvas, legend, Heading(title));
        if (range.IsEmpty) WriteEmpty(canvas, (frame.Left + frame.Right) / 2, (frame.Top + frame.Bottom) / 2);
        else
        {
            frame.WriteAxes(canvas);
            FigureMarks.Write(canvas, figure, histograms, frame);
            WriteThresholds(canvas, figure, frame);
        }
        WriteNotes(canvas, range.Notes, frame.TotalHeight);
        return canvas.Finish();
    }

    /// <summary>Height of the heading.</summary>
    public static double Heading(string[] lines) => 18 + (lines.Length * 19);

    public static void WriteTitle(SvgCanvas canvas, string[] lines)
    {
        for (var i = 0; i < lines.Length; i++) canvas.Text(Side, 26 + (i * 19), lines[i], "font-size=\"15\" font-weight=\"600\"");
    }

    public static void WriteNotes(SvgCanvas canvas, string[] notes, double height)
    {
        for (var i = 0; i < notes.Length; i++)
            canvas.Text(Side, height - 8 - ((notes.Length - 1 - i) * 15), notes[i],
                $"font-size=\"11\" font-style=\"italic\" fill=\"{Palette.Muted}\"");
    }

    public static void WriteEmpty(SvgCanvas canvas, double x, double y) =>
        canvas.Text(x, y, "No data to draw", $"text-anchor=\"middle\" font-size=\"14\" fill=\"{Palette.Muted}\"");

    private static List<(string Name, string Colour, string? Dash)> Legend(Figure figure)
    {
        var names = figure.Lines.Select(s => s.Name).Concat(figure.Bars.Select(s => s.Name)).Concat(figure.Histograms.Select(s => s.Name)).ToList();
        var hasHighlight = figure.Highlighted.Count > 0;
        var entries = names.Select((name, i) =>
            (name, Palette.Series(FigureMarks.SeriesColourIndex(figure, i)), figure.Kind == FigureKind.Line ? Palette.Dash(i) : null)).ToList();
        if (hasHighlight) entries.Add((figure.HighlightLabel, Palette.Highlight, null));
        return names.Count > 1 || hasHighlight ? [.. entries.Where(entry => entry.name.Length > 0)] : [];
    }

    private static List<List<PlacedEntry>> LegendRows(List<(string Name, string Colour, string? Dash)> entries, double width)
    {
        var rows = new List<List<PlacedEntry>>();
        var x = double.PositiveInfinity;
        foreach (var (name, colour, dash) in entries)
        {
            var text = TextWidth.Cut(name, 12, width - 24);
            var needed = 24 + TextWidth.Of(text, 12);
            if (x + needed > Side + width) (x, rows) = (Side, [.. rows, []]);
            rows[^1].Add(new PlacedEntry(x, text, colour, dash));
            x += needed + 14;
        }
        return rows;
    }

    private static void WriteLegend(SvgCanvas canvas, List<List<PlacedEntry>> rows, double top)
    {
        for (var row = 0; row < rows.Count; row++)
            foreach (var (x, name, colour, dash) in rows[row])
            {
                var middle = top + 6 + (row * LegendRow);
                if (dash is not null) canvas.Line(x, middle, x + 18, middle, $"stroke=\"{colour}\" stroke-width=\"2.5\"{dash}");
                else canvas.Rect(x + 3, middle - 6, 12, 12, $"rx=\"2\" fill=\"{colour}\"");
                canvas.Text(x + 23, middle + 4, name);
            }
    }

    private static void WriteThresholds(SvgCanvas canvas, Figure figure, FigureFrame frame)
    {
        foreach (var threshold in figure.Thresholds.Where(t => frame.Y.CanShow(t.Value)))
        {
            var y = frame.Y[threshold.Value];
            canvas.Line(frame.Left, y, frame.Right, y, "stroke=\"#b00020\" stroke-width=\"1.5\" stroke-dasharray=\"6 4\"",
                $"{threshold.Label}: {Numbers.Short(threshold.Value)}");
            var label = TextWidth.Cut($"{threshold.Label} ({Numbers.Short(threshold.Value)})", 11, frame.Right - frame.Left - 12);
            canvas.Text(frame.Right - 4, y - 5 < frame.Top + 8 ? y + 13 : y - 5, label, "text-anchor=\"end\" font-size=\"11\" fill=\"#b00020\" "
                + $"stroke=\"{Palette.Background}\" stroke-width=\"3\" paint-order=\"stroke\"");
        }
    }

    /// <summary>A legend entry with its place; a dash pattern (perhaps empty) makes its swatch a line, none a square.</summary>
    private sealed record PlacedEntry(double X, string Name, string Colour, string? Dash);
}
