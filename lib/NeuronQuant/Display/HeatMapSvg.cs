using System.Text;

namespace NeuronQuant.Display;

/// <summary>Draws a matrix as colours, with its labels and a colour bar.</summary>
/// <remarks>
/// Up to 600 cells are separate rectangles with hover text, and can show their number. Beyond that a page would grow by 100 bytes a cell,
/// so all cells of one colour (of 48) become one path of about 13 bytes a cell, without hover text. A cell that is not finite, or not
/// positive under a logarithmic colour, is grey, and a note counts them.
/// </remarks>
internal static class HeatMapSvg
{
    private const int MostSeparateCells = 600;
    private const int Levels = 48;
    private const double BarWidth = 14;

    public static string Render(Figure figure)
    {
        var matrix = figure.Matrix!;
        var title = TextWidth.Wrap(figure.Title, FigureSvg.TitleSize, figure.Width - 32, 2);
        var colours = ColourScale.Of(matrix);
        var rowLabels = matrix.Rows.Select(label => TextWidth.Cut(label, 11, 150)).ToArray();
        var left = 16 + (figure.YTitle.Length > 0 ? 20 : 0) + rowLabels.Select(l => TextWidth.Of(l, 11)).DefaultIfEmpty(0).Max() + 8;
        var right = figure.Width - 24 - BarWidth - colours.LabelWidth - (matrix.ColourTitle.Length > 0 ? 18 : 0);
        var labels = CategoryLabels.Fit(matrix.Columns, (right - left) / Math.Max(1, matrix.Columns.Length));
        left = Math.Max(left, Math.Min(labels.Overhang + 8, figure.Width / 3.0));
        var top = FigureSvg.Heading(title) + 8;
        var cellHeight = matrix.Rows.Length == 0 ? 0 : Math.Clamp((figure.Height - top - labels.Height - 40) / matrix.Rows.Length, 4, 34);
        var grid = new Grid(left, top, (right - left) / Math.Max(1, matrix.Columns.Length), cellHeight);
        var bottom = top + Math.Max(cellHeight * matrix.Rows.Length, 60);
        var total = bottom + labels.Height + (figure.XTitle.Length > 0 ? 22 : 4) + (colours.Notes.Length * 15) + 10;
        var canvas = new SvgCanvas(figure.Width, total, figure.Title);
        FigureSvg.WriteTitle(canvas, title);
        if (colours.IsEmpty) FigureSvg.WriteEmpty(canvas, (left + right) / 2, (top + bottom) / 2);
        else
        {
            WriteCells(canvas, matrix, colours, grid);
            WriteRowLabels(canvas, rowLabels, grid);
            labels.Write(canvas, column => grid.Left + ((column + 0.5) * grid.Width), grid.Top + (cellHeight * matrix.Rows.Length));
            WriteTitles(canvas, figure, left, right, top, bottom, labels.Height);
            colours.WriteBar(canvas, right + 12, top, Math.Max(bottom - top, 60), BarWidth);
        }
        FigureSvg.WriteNotes(canvas, colours.Notes, total);
        return canvas.Finish();
    }

    private static void WriteTitles(SvgCanvas canvas, Figure figure, double left, double right, double top, double bottom, double labels)
    {
        canvas.Open($"text-anchor=\"middle\" fill=\"{Palette.Muted}\"");
        if (figure.XTitle.Length > 0) canvas.Text((left + right) / 2, bottom + labels + 17, figure.XTitle);
        if (figure.YTitle.Length > 0)
            canvas.Text(0, 0, figure.YTitle, $"transform=\"translate(22 {Numbers.Coordinate((top + bottom) / 2)}) rotate(-90)\"");
        canvas.Close();
    }

    private static void WriteRowLabels(SvgCanvas canvas, string[] labels, Grid grid)
    {
        var every = CategoryLabels.Nice(12 / grid.Height);
        canvas.Open("font-size=\"11\" text-anchor=\"end\"");
        for (var i = 0; i < labels.Length; i += every) canvas.Text(grid.Left - 7, grid.Top + ((i + 0.5) * grid.Height) + 4, labels[i]);
        canvas.Close();
    }

    private static void WriteCells(SvgCanvas canvas, HeatMapData matrix, ColourScale colours, Grid grid)
    {
        if (matrix.Values.Length > MostSeparateCells)
        {
            WriteManyCells(canvas, matrix, colours, grid);
            return;
        }
        canvas.Open($"stroke=\"{Palette.Background}\" stroke-width=\"1\"");
        Each(matrix, (row, column, value) => canvas.Rect(grid.X(column), grid.Y(row), grid.Width, grid.Height, $"fill=\"{colours.Of(value)}\"",
            $"{matrix.Rows[row]}, {matrix.Columns[column]}: {Numbers.Short(value)}"));
        canvas.Close();
        if (!matrix.ShowValues) return;
        var size = Math.Clamp(Math.Min(grid.Height * 0.5, grid.Width / 4), 6, 12);
        canvas.Open($"text-anchor=\"middle\" font-size=\"{Numbers.Coordinate(size)}\"");
        Each(matrix, (row, column, value) => canvas.Text(grid.X(column + 0.5), grid.Y(row + 0.5) + (size * 0.36), Numbers.Short(value, 3),
            $"fill=\"{colours.InkOn(value)}\""));
        canvas.Close();
    }

    private static void WriteManyCells(SvgCanvas canvas, HeatMapData matrix, ColourScale colours, Grid grid)
    {
        var paths = new SortedDictionary<string, StringBuilder>(StringComparer.Ordinal);
        Each(matrix, (row, column, value) =>
        {
            var colour = colours.OfLevel(value, Levels);
            if (!paths.TryGetValue(colour, out var path)) paths[colour] = path = new StringBuilder();
            path.Append($"M{column} {row}h1v1h-1z");
        });
        // In units of cells, so that a cell needs no decimals.
        canvas.Open($"shape-rendering=\"crispEdges\" transform=\"translate({Numbers.Coordinate(grid.Left)} {Numbers.Coordinate(grid.Top)}) "
            + $"scale({Numbers.Fixed(grid.Width, 4)} {Numbers.Fixed(grid.Height, 4)})\"");
        foreach (var (colour, path) in paths) canvas.Path(path.ToString(), $"fill=\"{colour}\"");
        canvas.Close();
    }

    private static void Each(HeatMapData matrix, Action<int, int, double> write)
    {
        for (var row = 0; row < matrix.Rows.Length; row++)
            for (var column = 0; column < matrix.Columns.Length; column++) write(row, column, matrix.Values[row, column]);
    }

    private readonly record struct Grid(double Left, double Top, double Width, double Height)
    {
        public double X(double column) => Left + (column * Width);

        public double Y(double row) => Top + (row * Height);
    }
}
