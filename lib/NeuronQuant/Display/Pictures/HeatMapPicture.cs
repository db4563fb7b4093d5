namespace NeuronQuant.Display;

/// <summary>Draws a matrix as colours, with its labels and, where the colour has a name or the values are not written, a colour bar.</summary>
/// <remarks>
/// All cells of one shade (of 65) are one path in units of cells, which keeps a matrix of ten thousand small. A cell that is not finite is grey, or left
/// out where cells have texts of their own: there it is a gap.
/// </remarks>
internal static class HeatMapPicture
{
    private const double Shades = 64;

    public static string Draw(PictureData data, PictureMatrix matrix)
    {
        double[] finite = [.. matrix.Values.SelectMany(row => row).Where(double.IsFinite)];
        var (low, high) = finite.Length == 0 ? (0, 1) : (finite.Min(), finite.Max());
        if (matrix.IsDiverging) (low, high) = (-Math.Max(-low, high), Math.Max(-low, high));
        double Fraction(double value) => high > low ? Math.Round((value - low) / (high - low) * Shades) / Shades : 0.5;
        string Colour(double value) => double.IsFinite(value) ? Palette.Shade(Fraction(value), matrix.IsDiverging) : Palette.Missing;
        string Ink(double value) => double.IsFinite(value) ? Palette.InkOn(Fraction(value), matrix.IsDiverging) : Palette.Ink;

        string[] rows = [.. matrix.Rows.Select(label => TextWidth.Cut(label, 12, 170))];
        double left = 16 + rows.Select(label => TextWidth.Of(label, 12)).DefaultIfEmpty(0).Max() + 8, right = data.Width - (matrix.ShowScale ? 84 : 16) - (matrix.ColourTitle.Length > 0 ? 18 : 0);
        var labels = CategoryLabels.Fit(matrix.Columns, (right - left) / Math.Max(1, matrix.Columns.Length));
        left = Math.Max(left, Math.Min(labels.Overhang + 8, data.Width / 3.0));
        double top = data.Title.Length > 0 ? 46 : 16, width = (right - left) / Math.Max(1, matrix.Columns.Length), height = Math.Clamp((data.Height - top - labels.Height - 40) / Math.Max(1, rows.Length), 4, 44);
        double bottom = top + Math.Max(height * rows.Length, 60);
        var canvas = new SvgCanvas(data.Width, bottom + labels.Height + (data.XTitle.Length > 0 ? 26 : 10), data.Title);
        Cells(canvas, matrix, Colour, Ink, left, top, width, height);
        canvas.Open("text-anchor=\"end\"");
        for (int i = 0; i < rows.Length; i += CategoryLabels.Nice(13 / height)) canvas.Text(left - 7, top + ((i + 0.5) * height) + 4, rows[i]);
        canvas.Close();
        labels.Write(canvas, column => left + ((column + 0.5) * width), top + (height * rows.Length));
        if (data.XTitle.Length > 0) canvas.Text((left + right) / 2, bottom + labels.Height + 17, data.XTitle, $"text-anchor=\"middle\" fill=\"{Palette.Muted}\"");
        if (matrix.ShowScale) Bar(canvas, matrix, low, high, right + 12, top, bottom - top);
        return canvas.Finish();
    }

    private static void Cells(SvgCanvas canvas, PictureMatrix matrix, Func<double, string> colour, Func<double, string> ink, double left, double top, double width, double height)
    {
        var cells = matrix.Values.SelectMany((row, r) => row.Select((value, c) => (Row: r, Column: c, Value: value, Text: matrix.Texts?[r][c] ?? Numbers.Short(value, 3))))
            .Where(cell => double.IsFinite(cell.Value) || matrix.Texts is null).ToArray();
        bool gaps = Math.Min(width, height) > 10;
        string wide = Numbers.Fixed(gaps ? 1 - (1 / width) : 1, 3), high = Numbers.Fixed(gaps ? 1 - (1 / height) : 1, 3);
        canvas.Open($"{(gaps ? "" : "shape-rendering=\"crispEdges\" ")}transform=\"translate({Numbers.Coordinate(left)} {Numbers.Coordinate(top)}) scale({Numbers.Fixed(width, 4)} {Numbers.Fixed(height, 4)})\"");
        foreach (var shade in cells.GroupBy(cell => colour(cell.Value)))
            canvas.Path(string.Concat(shade.Select(cell => $"M{cell.Column} {cell.Row}h{wide}v{high}h-{wide}z")), $"fill=\"{shade.Key}\"");
        canvas.Close();
        if (!matrix.ShowValues) return;
        double size = Math.Clamp(Math.Min(height * 0.5, (width - 4) / cells.Select(cell => TextWidth.Of(cell.Text, 1)).DefaultIfEmpty(1).Max()), 6, 13);
        foreach (var group in cells.GroupBy(cell => ink(cell.Value)))
        {
            canvas.Open($"text-anchor=\"middle\" font-size=\"{Numbers.Coordinate(size)}\" fill=\"{group.Key}\"");
            foreach (var cell in group) canvas.Text(left + ((cell.Column + 0.5) * width), top + ((cell.Row + 0.5) * height) + (size * 0.36), cell.Text);
            canvas.Close();
        }
    }

    private static void Bar(SvgCanvas canvas, PictureMatrix matrix, double low, double high, double x, double y, double height)
    {
        const int steps = 40;
        canvas.Open("shape-rendering=\"crispEdges\"");
        for (int i = 0; i < steps; i++) canvas.Rect(x, y + (height * i / steps), 14, height / steps, $"fill=\"{Palette.Shade(1 - (i / (steps - 1.0)), matrix.IsDiverging)}\"");
        canvas.Close();
        if (high > low)
        {
            var ticks = Ticks.Linear(low, high, 6);
            for (int i = 0; i < ticks.Values.Length; i++)
                if (ticks.Values[i] >= low && ticks.Values[i] <= high) canvas.Text(x + 18, y + (height * (high - ticks.Values[i]) / (high - low)) + 4, ticks.Labels[i], "font-size=\"11\"");
        }
        if (matrix.ColourTitle.Length > 0)
            canvas.Text(0, 0, matrix.ColourTitle, $"text-anchor=\"middle\" fill=\"{Palette.Muted}\" transform=\"translate({Numbers.Coordinate(x + 64)} {Numbers.Coordinate(y + (height / 2))}) rotate(-90)\"");
    }
}
