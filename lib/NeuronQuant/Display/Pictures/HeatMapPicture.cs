using System.Text;

namespace NeuronQuant.Display;

/// <summary>Draws a matrix as colours, with its labels and a colour bar.</summary>
/// <remarks>
/// Up to 600 cells are separate rectangles and can show their number. Beyond that all cells of one colour (of 48) become one path of about 13 bytes
/// a cell. A cell that is not finite is grey, or left out where cells have texts of their own: there it is a gap.
/// </remarks>
internal static class HeatMapPicture
{
    private const int MostSeparateCells = 600, Levels = 48;

    public static string Draw(PictureData data, PictureMatrix matrix)
    {
        double[] finite = [.. matrix.Values.SelectMany(row => row).Where(double.IsFinite)];
        var (low, high) = finite.Length == 0 ? (0, 1) : (finite.Min(), finite.Max());
        if (matrix.IsDiverging) (low, high) = (-Math.Max(-low, high), Math.Max(-low, high));
        double Fraction(double value) => high > low ? (value - low) / (high - low) : 0.5;
        string Colour(double value) => double.IsFinite(value) ? Palette.Shade(finite.Length > 0 && matrix.Values.Length * matrix.Columns.Length > MostSeparateCells ? Math.Round(Fraction(value) * (Levels - 1)) / (Levels - 1) : Fraction(value), matrix.IsDiverging) : Palette.Missing;

        string[] rows = [.. matrix.Rows.Select(label => TextWidth.Cut(label, 12, 170))];
        double left = 16 + rows.Select(label => TextWidth.Of(label, 12)).DefaultIfEmpty(0).Max() + 8, right = data.Width - 84 - (matrix.ColourTitle.Length > 0 ? 18 : 0);
        var labels = CategoryLabels.Fit(matrix.Columns, (right - left) / Math.Max(1, matrix.Columns.Length));
        left = Math.Max(left, Math.Min(labels.Overhang + 8, data.Width / 3.0));
        double top = data.Title.Length > 0 ? 46 : 16, width = (right - left) / Math.Max(1, matrix.Columns.Length), height = Math.Clamp((data.Height - top - labels.Height - 40) / Math.Max(1, rows.Length), 4, 44);
        double bottom = top + Math.Max(height * rows.Length, 60);
        var canvas = new SvgCanvas(data.Width, bottom + labels.Height + (data.XTitle.Length > 0 ? 26 : 10), data.Title);
        canvas.Text(16, 28, TextWidth.Cut(data.Title, 16.5, data.Width - 32), "font-size=\"16\" font-weight=\"600\"");
        Cells(canvas, matrix, Colour, value => Palette.InkOn(Fraction(value), matrix.IsDiverging), left, top, width, height);
        canvas.Open("text-anchor=\"end\"");
        for (int i = 0; i < rows.Length; i += CategoryLabels.Nice(13 / height)) canvas.Text(left - 7, top + ((i + 0.5) * height) + 4, rows[i]);
        canvas.Close();
        labels.Write(canvas, column => left + ((column + 0.5) * width), top + (height * rows.Length));
        if (data.XTitle.Length > 0) canvas.Text((left + right) / 2, bottom + labels.Height + 17, data.XTitle, $"text-anchor=\"middle\" fill=\"{Palette.Muted}\"");
        Bar(canvas, matrix, low, high, right + 12, top, bottom - top);
        return canvas.Finish();
    }

    private static void Cells(SvgCanvas canvas, PictureMatrix matrix, Func<double, string> colour, Func<double, string> ink, double left, double top, double width, double height)
    {
        var cells = matrix.Values.SelectMany((row, r) => row.Select((value, c) => (Row: r, Column: c, Value: value))).ToArray();
        if (cells.Length > MostSeparateCells)
        {
            // In units of cells, so that a cell needs no decimals.
            canvas.Open($"shape-rendering=\"crispEdges\" transform=\"translate({Numbers.Coordinate(left)} {Numbers.Coordinate(top)}) scale({Numbers.Fixed(width, 4)} {Numbers.Fixed(height, 4)})\"");
            foreach (var group in cells.GroupBy(cell => colour(cell.Value)).OrderBy(group => group.Key, StringComparer.Ordinal))
                canvas.Path(group.Aggregate(new StringBuilder(), (path, cell) => path.Append($"M{cell.Column} {cell.Row}h1v1h-1z")).ToString(), $"fill=\"{group.Key}\"");
            canvas.Close();
            return;
        }
        canvas.Open($"stroke=\"{Palette.Background}\"");
        foreach (var (row, column, value) in cells.Where(cell => double.IsFinite(cell.Value) || matrix.Texts is null)) canvas.Rect(left + (column * width), top + (row * height), width, height, $"fill=\"{colour(value)}\"");
        canvas.Close();
        if (!matrix.ShowValues) return;
        double size = Math.Clamp(Math.Min(height * 0.5, width / 4), 6, 13);
        canvas.Open($"text-anchor=\"middle\" font-size=\"{Numbers.Coordinate(size)}\"");
        foreach (var (row, column, value) in cells)
            canvas.Text(left + ((column + 0.5) * width), top + ((row + 0.5) * height) + (size * 0.36), matrix.Texts?[row][column] ?? Numbers.Short(value, 3), $"fill=\"{(double.IsFinite(value) ? ink(value) : Palette.Ink)}\"");
        canvas.Close();
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
