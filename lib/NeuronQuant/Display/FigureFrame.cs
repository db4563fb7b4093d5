namespace NeuronQuant.Display;

/// <summary>The rectangle in which marks are drawn, with its two axes.</summary>
/// <remarks>
/// Margins follow from the labels: the left one from the widest mark of the vertical axis, the bottom one from the category labels. The
/// grid is horizontal only, for values are what a reader compares.
/// </remarks>
internal sealed class FigureFrame
{
    private const double MinimumPlotHeight = 150;
    private readonly Figure _figure;
    private readonly Ticks _xTicks;
    private readonly Ticks _yTicks;
    private readonly CategoryLabels? _categories;

    private FigureFrame(Figure figure, FigureRange range, double top, double below)
    {
        _figure = figure;
        Top = top;
        _yTicks = figure.IsLogY ? Ticks.Logarithmic(range.MinimumY, range.MaximumY) : Ticks.Linear(range.MinimumY, range.MaximumY);
        Left = 16 + (figure.YTitle.Length > 0 ? 20 : 0) + _yTicks.Labels.Select(l => TextWidth.Of(l, 11)).DefaultIfEmpty(20).Max() + 8;
        Right = figure.Width - 20;
        if (figure.Kind == FigureKind.Bar && figure.Bars.Count > 0)
        {
            _categories = CategoryLabels.Fit(figure.Categories, Slot);
            Left = Math.Max(Left, Math.Min(_categories.Overhang - (Slot / 2) + 8, figure.Width / 3.0));
            _categories = CategoryLabels.Fit(figure.Categories, Slot);
        }
        _xTicks = XTicks(figure, range);
        var axis = (_categories?.Height ?? 18) + (figure.XTitle.Length > 0 ? 22 : 4);
        Bottom = Math.Max(figure.Height - axis - below - 10, Top + MinimumPlotHeight);
        TotalHeight = Bottom + axis + below + 10;
        X = new AxisScale(_xTicks.Minimum, _xTicks.Maximum, Left, Right, false);
        Y = new AxisScale(_yTicks.Minimum, _yTicks.Maximum, Bottom, Top, figure.IsLogY);
    }

    public double Left { get; }

    public double Top { get; }

    public double Right { get; }

    public double Bottom { get; }

    public double TotalHeight { get; }

    /// <summary>Horizontal axis of lines and histograms.</summary>
    public AxisScale X { get; }

    /// <summary>Vertical axis.</summary>
    public AxisScale Y { get; }

    /// <summary>Width of one category, in pixels.</summary>
    public double Slot => (Right - Left) / Math.Max(1, _figure.Categories.Count);

    public static FigureFrame Plan(Figure figure, FigureRange range, double top, double below) => new(figure, range, top, below);

    /// <summary>The middle of a category, in pixels.</summary>
    public double Centre(int category) => Left + ((category + 0.5) * Slot);

    /// <summary>Writes grid, axes, labels and titles.</summary>
    public void WriteAxes(SvgCanvas canvas)
    {
        canvas.Open($"stroke=\"{Palette.Grid}\"");
        foreach (var value in _yTicks.Values) canvas.Line(Left, Y[value], Right, Y[value]);
        canvas.Close();
        canvas.Open("font-size=\"11\" text-anchor=\"end\"");
        for (var i = 0; i < _yTicks.Values.Length; i++) canvas.Text(Left - 7, Y[_yTicks.Values[i]] + 4, _yTicks.Labels[i]);
        canvas.Close();
        WriteHorizontalAxis(canvas);
        if (_figure.XTitle.Length > 0)
            canvas.Text((Left + Right) / 2, Bottom + (_categories?.Height ?? 18) + 17, _figure.XTitle,
                $"text-anchor=\"middle\" fill=\"{Palette.Muted}\"");
        if (_figure.YTitle.Length == 0) return;
        var middle = Numbers.Coordinate((Top + Bottom) / 2);
        canvas.Text(0, 0, TextWidth.Cut(_figure.YTitle, 12, Bottom - Top + 40),
            $"text-anchor=\"middle\" transform=\"translate(22 {middle}) rotate(-90)\" fill=\"{Palette.Muted}\"");
    }

    private void WriteHorizontalAxis(SvgCanvas canvas)
    {
        var baseline = !_figure.IsLogY && Y.Minimum <= 0 && Y.Maximum >= 0 ? Y[0] : Bottom;
        canvas.Line(Left, baseline, Right, baseline, $"stroke=\"{Palette.Axis}\"");
        if (baseline != Bottom) canvas.Line(Left, Bottom, Right, Bottom, $"stroke=\"{Palette.Grid}\"");
        if (_categories is not null)
        {
            _categories.Write(canvas, Centre, Bottom);
            return;
        }
        canvas.Open("font-size=\"11\" text-anchor=\"middle\"");
        for (var i = 0; i < _xTicks.Values.Length; i++)
        {
            var x = _xTicks.Values[i];
            if (x < X.Minimum - (1e-9 * (X.Maximum - X.Minimum)) || x > X.Maximum + (1e-9 * (X.Maximum - X.Minimum))) continue;
            canvas.Line(X[x], Bottom, X[x], Bottom + 4, $"stroke=\"{Palette.Axis}\"");
            canvas.Text(X[x], Bottom + 16, _xTicks.Labels[i]);
        }
        canvas.Close();
    }

    private static Ticks XTicks(Figure figure, FigureRange range)
    {
        var whole = figure.Lines.Count > 0 && figure.Lines.All(line => line.X.All(x => x == Math.Floor(x)));
        var target = figure.Width / 80;
        var ticks = Ticks.Linear(range.MinimumX, range.MaximumX, target, whole);
        if (range.MaximumX <= range.MinimumX) return ticks;
        // Positions keep their own ends, a little widened, so that 0..31 does not leave a quarter of the figure empty.
        var margin = figure.Kind == FigureKind.Line ? 0.02 * (range.MaximumX - range.MinimumX) : 0;
        return ticks with { Minimum = range.MinimumX - margin, Maximum = range.MaximumX + margin };
    }
}
