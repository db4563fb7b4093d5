using System.Text;

namespace NeuronQuant.Display;

/// <summary>Draws lines, points and bars over two axes: heading, legend, grid, marks, thresholds, notes, from the back to the front.</summary>
/// <remarks>
/// Bars begin at zero and their length is their value; on a logarithmic axis, or where the chart gives a range, they begin at the axis's end. A line is
/// broken where a value cannot be drawn, never bridged. The grid is horizontal only, for values are what a reader compares.
/// </remarks>
internal sealed class PlotPicture
{
    private const double Side = 16, Right = 20;
    private const string Dashes = "stroke-dasharray=\"6 4\"";

    private readonly PictureData _data;
    private readonly SvgCanvas _canvas;
    private readonly Ticks _xTicks, _yTicks;
    private readonly CategoryLabels? _labels;
    private readonly AxisScale _x, _y;
    private readonly double _left, _right, _top, _bottom;
    private readonly string[] _notes;

    private PlotPicture(PictureData data)
    {
        (_data, _notes) = (data, Notes(data));
        var (legend, ends) = (Legend(data), Ends());
        _yTicks = data.LogY ? Ticks.Logarithmic(ends.LowY, ends.HighY) : Ticks.Linear(ends.LowY, ends.HighY);
        _xTicks = data.LogX ? Ticks.Logarithmic(ends.LowX, ends.HighX) : Ticks.Linear(ends.LowX, ends.HighX, data.Width / 80, data.Traces.All(trace => trace.Widths is null && trace.X.All(x => x == Math.Floor(x))));
        _left = Side + (data.YTitle.Length > 0 ? 22 : 0) + _yTicks.Labels.Select(label => TextWidth.Of(label, 12)).DefaultIfEmpty(20).Max() + 8;
        _right = data.Width - Right;
        if (data.Categories is { } categories)
        {
            _left = Math.Max(_left, Math.Min(CategoryLabels.Fit(categories, Slot).Overhang - (Slot / 2) + 8, data.Width / 3.0));
            _labels = CategoryLabels.Fit(categories, Slot);
        }
        double heading = data.Title.Length > 0 ? 44 : 14, below = Marks + (data.XTitle.Length > 0 ? 24 : 4) + (_notes.Length * 15) + 8;
        _top = heading + (legend.Count == 0 ? 0 : (legend[^1].Row + 1) * 19);
        _bottom = Math.Max(data.Height - below, _top + 150);
        _x = new AxisScale(ends.LowX, ends.HighX, _left, _right, data.LogX);
        _y = data.RangeY is null ? new AxisScale(_yTicks.Minimum, _yTicks.Maximum, _bottom, _top, data.LogY) : new AxisScale(ends.LowY, ends.HighY, _bottom, _top, data.LogY);
        _canvas = new SvgCanvas(data.Width, _bottom + below, data.Title);
        foreach (var (name, kind, colour, x, row) in legend) Draw(name, kind, colour, x, heading + 2 + (row * 19));
    }

    private double Slot => (_right - _left) / Math.Max(1, _data.Categories?.Length ?? 1);

    // Pixels below the horizontal axis that its labels take.
    private double Marks => _labels?.Height ?? 18;

    public static string Draw(PictureData data)
    {
        var plot = new PlotPicture(data);
        plot.Axes();
        var bars = data.Traces.Where(trace => trace.IsBar).ToArray();
        for (int i = 0; i < bars.Length; i++) plot.Bars(bars[i], i, bars.Length);
        foreach (var trace in data.Traces.Where(trace => !trace.IsBar)) plot.Line(trace);
        foreach (var (value, _) in data.Thresholds.Where(line => plot._y.CanShow(line.Value)))
            plot._canvas.Line(plot._left, plot._y[value], plot._right, plot._y[value], $"stroke=\"{Palette.Muted}\" stroke-width=\"1.5\" {Dashes}");
        for (int i = 0; i < plot._notes.Length; i++) plot._canvas.Text(Side, plot._bottom + plot.Marks + (data.XTitle.Length > 0 ? 34 : 14) + (i * 15), plot._notes[i], $"font-size=\"11\" font-style=\"italic\" fill=\"{Palette.Muted}\"");
        return plot._canvas.Finish();
    }

    private double Place(double x) => _data.Categories is null ? _x[x] : _left + ((x + 0.5) * Slot);

    private bool Shows(PictureTrace trace, int i) => double.IsFinite(trace.X[i]) && (_data.Categories is not null || _x.CanShow(trace.X[i])) && _y.CanShow(trace.Y[i]);

    private (double LowX, double HighX, double LowY, double HighY) Ends()
    {
        bool Can(double value, bool log) => double.IsFinite(value) && (!log || value > 0);
        double[] x = [.. _data.Traces.SelectMany(trace => trace.Widths is { } widths ? trace.X.Zip(widths, (at, width) => new[] { at - (width / 2), at + (width / 2) }).SelectMany(end => end) : trace.X).Where(value => Can(value, _data.LogX))];
        double[] y = [.. _data.Traces.SelectMany(trace => trace.Y.Concat(trace.Whiskers?.SelectMany(end => new[] { end.Low, end.High }) ?? [])).Concat(_data.Thresholds.Select(line => line.Value)).Where(value => Can(value, _data.LogY))];
        var (lowX, highX) = x.Length == 0 ? (0.0, 1.0) : (x.Min(), x.Max());
        var (lowY, highY) = y.Length == 0 ? (_data.LogY ? (1.0, 10.0) : (0.0, 1.0)) : (y.Min(), y.Max());
        bool bars = _data.Traces.Any(trace => trace.IsBar);
        if (_data.LogY) (lowY, highY) = (lowY / (bars ? 2 : 1.4), highY * 1.4);
        // A line far above zero keeps its own range; one that nearly reaches zero is easier to read with zero shown.
        else if (bars || (lowY > 0 && lowY < 0.4 * highY)) (lowY, highY) = (Math.Min(lowY, 0), bars ? Math.Max(highY, 0) : highY);
        double margin = _data.Traces.All(trace => trace.Widths is null) ? 0.02 : 0;
        (lowX, highX) = _data.LogX ? (lowX / Math.Pow(highX / lowX, margin), highX * Math.Pow(highX / lowX, margin)) : highX > lowX ? (lowX - (margin * (highX - lowX)), highX + (margin * (highX - lowX))) : (lowX - 0.5, highX + 0.5);
        return _data.RangeY is [var from, var to] ? (lowX, highX, _data.LogY ? Math.Pow(10, from) : from, _data.LogY ? Math.Pow(10, to) : to) : (lowX, highX, lowY, highY);
    }

    private static string[] Notes(PictureData data)
    {
        int all = data.Traces.Sum(trace => trace.Y.Length), missing = data.Traces.Sum(trace => trace.Y.Zip(trace.X).Count(at => !double.IsFinite(at.First) || !double.IsFinite(at.Second)));
        int low = data.LogY ? data.Traces.Where(trace => trace.Widths is null).Sum(trace => trace.Y.Count(value => value <= 0)) : 0;
        return [.. new[] { (missing, "NaN or infinite"), (low, "zero or less, which a logarithmic axis cannot show") }.Where(note => note.Item1 > 0).Select(note => $"Not drawn: {note.Item1} of {all} values ({note.Item2}).")];
    }

    private void Axes()
    {
        double slack = 1e-9 * (_y.Maximum - _y.Minimum);
        _canvas.Open("text-anchor=\"end\"");
        foreach (var (value, label) in _yTicks.Values.Zip(_yTicks.Labels).Where(tick => tick.First >= _y.Minimum - slack && tick.First <= _y.Maximum + slack))
        {
            _canvas.Line(_left, _y[value], _right, _y[value], $"stroke=\"{Palette.Grid}\"");
            _canvas.Text(_left - 7, _y[value] + 4, label);
        }
        _canvas.Close();
        double zero = !_data.LogY && _y.Minimum <= 0 && _y.Maximum >= 0 ? _y[0] : _bottom;
        _canvas.Line(_left, zero, _right, zero, $"stroke=\"{Palette.Axis}\"");
        if (_labels is not null) _labels.Write(_canvas, i => Place(i), _bottom);
        else
        {
            _canvas.Open("text-anchor=\"middle\"");
            foreach (var (value, label) in _xTicks.Values.Zip(_xTicks.Labels).Where(tick => tick.First >= _x.Minimum && tick.First <= _x.Maximum))
            {
                _canvas.Line(_x[value], _bottom, _x[value], _bottom + 4, $"stroke=\"{Palette.Axis}\"");
                _canvas.Text(_x[value], _bottom + 17, label);
            }
            _canvas.Close();
        }
        if (_data.XTitle.Length > 0) _canvas.Text((_left + _right) / 2, _bottom + Marks + 18, _data.XTitle, $"text-anchor=\"middle\" font-size=\"13\" fill=\"{Palette.Muted}\"");
        if (_data.YTitle.Length > 0) _canvas.Text(0, 0, TextWidth.Cut(_data.YTitle, 13, _bottom - _top + 60), $"text-anchor=\"middle\" font-size=\"13\" transform=\"translate(22 {Numbers.Coordinate((_top + _bottom) / 2)}) rotate(-90)\" fill=\"{Palette.Muted}\"");
    }

    private void Bars(PictureTrace trace, int index, int count)
    {
        double zero = _data.LogY || _y.Minimum > 0 ? _bottom : _y[0], share = Slot * 0.78 / count;
        (double Left, double Width) Span(int i) => trace.Widths is { } widths ? (_x[trace.X[i] - (widths[i] / 2)], _x[trace.X[i] + (widths[i] / 2)] - _x[trace.X[i] - (widths[i] / 2)])
            : (Place(trace.X[i]) - (Slot * 0.39) + (index * share), share * 0.96);
        _canvas.Open($"fill=\"{trace.Colour}\"{(_data.Overlaid && count > 1 ? " fill-opacity=\"0.6\"" : "")}");
        for (int i = 0; i < trace.Y.Length; i++)
            if (Shows(trace, i) && trace.Y[i] != 0) _canvas.Rect(Span(i).Left, Math.Min(_y[trace.Y[i]], zero), Span(i).Width, Math.Abs(zero - _y[trace.Y[i]]));
        _canvas.Close();
        for (int i = 0; i < trace.Y.Length && trace.Whiskers is { } ends; i++) Whisker(Span(i).Left + (Span(i).Width / 2), ends[i].Low, ends[i].High);
        if (count > 1 || trace.Widths is not null || trace.Y.Length > 12) return;
        _canvas.Open($"text-anchor=\"middle\" stroke=\"{Palette.Background}\" stroke-width=\"3\" paint-order=\"stroke\"");
        for (int i = 0; i < trace.Y.Length; i++)
            if (Shows(trace, i)) _canvas.Text(Place(trace.X[i]), _y[trace.Y[i] < 0 ? trace.Whiskers?[i].Low ?? trace.Y[i] : trace.Whiskers?[i].High ?? trace.Y[i]] + (trace.Y[i] < 0 ? 14 : -5), Numbers.Short(trace.Y[i]));
        _canvas.Close();
    }

    private void Whisker(double x, double low, double high)
    {
        if (!_y.CanShow(low) || !_y.CanShow(high)) return;
        string stroke = $"stroke=\"{Palette.Ink}\" stroke-width=\"1.4\"";
        _canvas.Line(x, _y[low], x, _y[high], stroke);
        foreach (double end in new[] { low, high }) _canvas.Line(x - 4, _y[end], x + 4, _y[end], stroke);
    }

    private void Line(PictureTrace trace)
    {
        int[] shown = [.. Enumerable.Range(0, trace.Y.Length).Where(i => Shows(trace, i))];
        var path = new StringBuilder();
        foreach (int i in shown)
        {
            var (x, y) = (Numbers.Fixed(Place(trace.X[i]), 1), Numbers.Fixed(_y[trace.Y[i]], 1));
            if (path.Length > 0 && Shows(trace, i - 1)) path.Append(trace.IsStepped ? $"H{x}V{y}" : $"L{x} {y}");
            else path.Append($"M{x} {y}");
        }
        if (trace.Kind.Contains("lines", StringComparison.Ordinal)) _canvas.Path(path.ToString(), $"fill=\"none\" stroke=\"{trace.Colour}\" stroke-width=\"2\" stroke-linejoin=\"round\"");
        if (trace.Kind.Contains("markers", StringComparison.Ordinal))
        {
            _canvas.Open($"fill=\"{trace.Colour}\"");
            foreach (int i in shown) _canvas.Circle(Place(trace.X[i]), _y[trace.Y[i]], 3.4);
            _canvas.Close();
        }
        for (int i = 0; i < trace.Y.Length && trace.Whiskers is { } ends; i++) Whisker(Place(trace.X[i]), ends[i].Low, ends[i].High);
    }

    // Where each entry stands; how many rows they take decides where the plot begins.
    private static List<(string Name, string Kind, string Colour, double X, int Row)> Legend(PictureData data)
    {
        var entries = data.Traces.Where(trace => trace.Name.Length > 0).Select(trace => (trace.Name, trace.Kind, trace.Colour))
            .Concat(data.Thresholds.Select(line => (Name: $"{line.Label} ({Numbers.Short(line.Value)})", Kind: "threshold", Colour: Palette.Muted))).ToArray();
        var placed = new List<(string, string, string, double, int)>();
        var (x, row) = (Side, 0);
        foreach (var (name, kind, colour) in entries.Where(_ => entries.Length > 1))
        {
            double width = 38 + TextWidth.Of(name, 12);
            if (x > Side && x + width > data.Width - Right) (x, row) = (Side, row + 1);
            placed.Add((name, kind, colour, x, row));
            x += width;
        }
        return placed;
    }

    private void Draw(string name, string kind, string colour, double x, double middle)
    {
        if (kind == "bar") _canvas.Rect(x + 3, middle - 6, 12, 12, $"rx=\"2\" fill=\"{colour}\"");
        else if (kind == "markers") _canvas.Circle(x + 9, middle, 4, $"fill=\"{colour}\"");
        else _canvas.Line(x, middle, x + 18, middle, $"stroke=\"{colour}\" stroke-width=\"2.5\"{(kind == "threshold" ? " " + Dashes : "")}");
        _canvas.Text(x + 23, middle + 4, name);
    }
}
