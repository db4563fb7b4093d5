namespace NeuronQuant.Display;

/// <summary>What a figure draws.</summary>
public enum FigureKind
{
    /// <summary>One or more series over a numeric axis.</summary>
    Line,

    /// <summary>One or more values for each of several named categories.</summary>
    Bar,

    /// <summary>How many values fall in each interval.</summary>
    Histogram,

    /// <summary>A matrix of values as colours.</summary>
    HeatMap,
}

/// <summary>One series of a line figure.</summary>
/// <param name="Name">What the legend calls it.</param>
/// <param name="X">Positions.</param>
/// <param name="Y">Values, one for each position.</param>
public sealed record LineSeries(string Name, double[] X, double[] Y);

/// <summary>One series of a bar figure.</summary>
/// <param name="Name">What the legend calls it.</param>
/// <param name="Values">One for each category of the figure.</param>
/// <param name="Low">Lower end of each value's interval; null without intervals.</param>
/// <param name="High">Upper end of each value's interval.</param>
public sealed record BarSeries(string Name, double[] Values, double[]? Low = null, double[]? High = null);

/// <summary>One series of a histogram, as values to be counted or as counts.</summary>
/// <param name="Name">What the legend calls it.</param>
/// <param name="Values">Values to be counted when the figure is drawn, in bins common to all series; null when counts are given.</param>
/// <param name="Edges">Ascending bin edges, one more than counts; null when values are given.</param>
/// <param name="Counts">How many values each bin holds; null when values are given.</param>
public sealed record HistogramSeries(string Name, double[]? Values, double[]? Edges, double[]? Counts);

/// <summary>The matrix of a heat map.</summary>
/// <param name="Values">[rows, columns]</param>
/// <param name="Rows">One label for each row, top to bottom.</param>
/// <param name="Columns">One label for each column.</param>
/// <param name="ColourTitle">What the colour means, with its unit.</param>
/// <param name="ShowValues">Whether each cell also shows its number.</param>
/// <param name="LogColour">Whether equal ratios are equal steps of colour.</param>
public sealed record HeatMapData(double[,] Values, string[] Rows, string[] Columns, string ColourTitle, bool ShowValues, bool LogColour);

/// <summary>A horizontal line at a value that decides something.</summary>
/// <param name="Value">In units of the vertical axis.</param>
/// <param name="Label">What crossing it means.</param>
public sealed record Threshold(double Value, string Label);
