using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace NeuronQuant.Display;

/// <summary>A figure as Plotly's figure JSON, version 2 of the schema: traces under "data", the rest under "layout".</summary>
/// <remarks>
/// Numbers are written exactly (shortest text that reads back the same); what JSON cannot hold, NaN and infinity, is null, which Plotly
/// draws as a gap. Plotly has no logarithmic colour: such a heat map has log10 under "z" and the true values under "customdata".
/// </remarks>
internal static class PlotlyJson
{
    public static string Write(Figure figure)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteStartArray("data");
            WriteTraces(json, figure);
            json.WriteEndArray();
            WriteLayout(json, figure);
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    private static void WriteTraces(Utf8JsonWriter json, Figure figure)
    {
        for (var i = 0; i < figure.Lines.Count; i++) WriteLine(json, figure, figure.Lines[i], i);
        for (var i = 0; i < figure.Bars.Count; i++) WriteBar(json, figure, figure.Bars[i], i);
        if (figure.Kind == FigureKind.Histogram)
        {
            var histograms = HistogramBins.Count(figure);
            for (var i = 0; i < histograms.Length; i++) WriteHistogram(json, histograms[i], i);
        }
        if (figure.Matrix is { } matrix) WriteHeatMap(json, matrix);
    }

    private static void WriteLine(Utf8JsonWriter json, Figure figure, LineSeries series, int index)
    {
        Start(json, "scatter", series.Name);
        json.WriteString("mode", !figure.HasLines ? "markers" : figure.HasMarkers ? "lines+markers" : "lines");
        Numbers(json, "x", series.X);
        Numbers(json, "y", series.Y);
        json.WriteStartObject("line");
        json.WriteString("color", Palette.Series(index));
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteBar(Utf8JsonWriter json, Figure figure, BarSeries series, int index)
    {
        Start(json, "bar", series.Name);
        Strings(json, "x", figure.Categories);
        Numbers(json, "y", series.Values);
        if (series.High is not null) WriteIntervals(json, series);
        json.WriteStartObject("marker");
        if (figure.Highlighted.Count == 0) json.WriteString("color", Palette.Series(index));
        else Strings(json, "color", figure.Categories.Select((_, i) => FigureMarks.BarColour(figure, index, i)));
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteIntervals(Utf8JsonWriter json, BarSeries series)
    {
        json.WriteStartObject("error_y");
        json.WriteString("type", "data");
        json.WriteBoolean("symmetric", false);
        Numbers(json, "array", [.. series.High!.Zip(series.Values, (high, value) => high - value)]);
        Numbers(json, "arrayminus", [.. series.Values.Zip(series.Low!, (value, low) => value - low)]);
        json.WriteEndObject();
    }

    private static void WriteHistogram(Utf8JsonWriter json, HistogramSeries series, int index)
    {
        var bins = Enumerable.Range(0, series.Counts!.Length);
        Start(json, "bar", series.Name);
        Numbers(json, "x", bins.Select(i => (series.Edges![i] + series.Edges[i + 1]) / 2));
        Numbers(json, "y", series.Counts);
        Numbers(json, "width", bins.Select(i => series.Edges![i + 1] - series.Edges[i]));
        json.WriteNumber("opacity", 0.6);
        json.WriteStartObject("marker");
        json.WriteString("color", Palette.Series(index));
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteHeatMap(Utf8JsonWriter json, HeatMapData matrix)
    {
        Start(json, "heatmap", matrix.ColourTitle);
        Strings(json, "x", matrix.Columns);
        Strings(json, "y", matrix.Rows);
        Rows(json, "z", matrix, value => matrix.LogColour ? Math.Log10(value) : value);
        if (matrix.LogColour) Rows(json, "customdata", matrix, value => value);
        json.WriteStartArray("colorscale");
        for (var i = 0; i <= 5; i++)
        {
            json.WriteStartArray();
            json.WriteNumberValue(i / 5.0);
            json.WriteStringValue(Palette.Sequential(i / 5.0));
            json.WriteEndArray();
        }
        json.WriteEndArray();
        json.WriteStartObject("colorbar");
        Title(json, matrix.LogColour ? $"log10 {matrix.ColourTitle}".TrimEnd() : matrix.ColourTitle);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteLayout(Utf8JsonWriter json, Figure figure)
    {
        json.WriteStartObject("layout");
        Title(json, figure.Title);
        json.WriteStartObject("xaxis");
        Title(json, figure.XTitle);
        if (figure.Kind is FigureKind.Bar or FigureKind.HeatMap) json.WriteString("type", "category");
        json.WriteEndObject();
        json.WriteStartObject("yaxis");
        Title(json, figure.YTitle);
        if (figure.IsLogY && figure.Kind != FigureKind.HeatMap) json.WriteString("type", "log");
        if (figure.Kind == FigureKind.HeatMap)
        {
            json.WriteString("type", "category");
            json.WriteString("autorange", "reversed");
        }
        json.WriteEndObject();
        if (figure.Kind is FigureKind.Bar) json.WriteString("barmode", "group");
        if (figure.Kind is FigureKind.Histogram) json.WriteString("barmode", "overlay");
        WriteThresholds(json, figure);
        json.WriteEndObject();
    }

    private static void WriteThresholds(Utf8JsonWriter json, Figure figure)
    {
        if (figure.Thresholds.Count == 0) return;
        json.WriteStartArray("shapes");
        foreach (var threshold in figure.Thresholds)
        {
            json.WriteStartObject();
            json.WriteString("type", "line");
            json.WriteString("xref", "paper");
            json.WriteNumber("x0", 0);
            json.WriteNumber("x1", 1);
            json.WriteNumber("y0", threshold.Value);
            json.WriteNumber("y1", threshold.Value);
            json.WriteStartObject("line");
            json.WriteString("dash", "dash");
            json.WriteEndObject();
            json.WriteStartObject("label");
            json.WriteString("text", threshold.Label);
            json.WriteString("textposition", "end");
            json.WriteEndObject();
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void Start(Utf8JsonWriter json, string type, string name)
    {
        json.WriteStartObject();
        json.WriteString("type", type);
        json.WriteString("name", name);
    }

    private static void Title(Utf8JsonWriter json, string title)
    {
        json.WriteStartObject("title");
        json.WriteString("text", title);
        json.WriteEndObject();
    }

    private static void Strings(Utf8JsonWriter json, string name, IEnumerable<string> values)
    {
        json.WriteStartArray(name);
        foreach (var value in values) json.WriteStringValue(value);
        json.WriteEndArray();
    }

    private static void Numbers(Utf8JsonWriter json, string name, IEnumerable<double> values)
    {
        json.WriteStartArray(name);
        foreach (var value in values) Number(json, value);
        json.WriteEndArray();
    }

    private static void Rows(Utf8JsonWriter json, string name, HeatMapData matrix, Func<double, double> map)
    {
        json.WriteStartArray(name);
        for (var row = 0; row < matrix.Rows.Length; row++)
        {
            json.WriteStartArray();
            for (var column = 0; column < matrix.Columns.Length; column++) Number(json, map(matrix.Values[row, column]));
            json.WriteEndArray();
        }
        json.WriteEndArray();
    }

    private static void Number(Utf8JsonWriter json, double value)
    {
        if (double.IsFinite(value)) json.WriteNumberValue(value);
        else json.WriteNullValue();
    }
}
