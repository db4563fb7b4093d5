using System.Text.Json.Nodes;
using Plotly.NET;

namespace NeuronQuant.Display;

/// <summary>One trace of a chart: what is drawn where.</summary>
/// <param name="Name">What the legend calls it; empty for none.</param>
/// <param name="Kind">"lines", "markers", "lines+markers", or "bar".</param>
/// <param name="X">Positions; on an axis of categories their numbers.</param>
/// <param name="Y">Values; NaN where there is none.</param>
/// <param name="Colour">Its own, or its place's in the palette.</param>
/// <param name="IsStepped">Whether each value holds until the next position.</param>
/// <param name="Widths">Of bars over numbers; null for bars of categories.</param>
/// <param name="Whiskers">The ends of each value's interval, or null.</param>
internal sealed record PictureTrace(string Name, string Kind, double[] X, double[] Y, string Colour, bool IsStepped, double[]? Widths, (double Low, double High)[]? Whiskers)
{
    public bool IsBar => Kind == "bar";
}

/// <summary>A matrix of a chart.</summary>
/// <param name="Values">[rows, columns]; NaN where there is none.</param>
/// <param name="Rows">A label for each row, top to bottom.</param>
/// <param name="Columns">A label for each column.</param>
/// <param name="ColourTitle">What the colour means.</param>
/// <param name="IsDiverging">Whether the colours meet at zero.</param>
/// <param name="ShowScale">Whether a bar says which colour is which value.</param>
/// <param name="ShowValues">Whether each cell shows its number.</param>
/// <param name="Texts">What a cell shows in place of its number, [rows, columns]; null for the numbers.</param>
internal sealed record PictureMatrix(double[][] Values, string[] Rows, string[] Columns, string ColourTitle, bool IsDiverging, bool ShowScale, bool ShowValues, string[][]? Texts);

/// <summary>What a chart's data and layout say that a static picture shows, for GitHub, print and every host that runs no script.</summary>
/// <remarks>
/// A picture is a pure function of it, byte for byte, so that a notebook's outputs can be compared. A value that cannot be drawn (NaN, infinity, not
/// positive on a logarithmic axis) is left out, and the picture says how many were.
/// Read from the JSON that plotly.js itself would draw, by its own names. The kinds are those that the lessons use: scatter, bar and heatmap. Another
/// kind is an error that names it, since a wrong picture would be worse than none.
/// </remarks>
internal sealed record PictureData(string Title, string XTitle, string YTitle, bool LogX, bool LogY, double[]? RangeY, int Width, int Height, string[]? Categories,
    IReadOnlyList<PictureTrace> Traces, PictureMatrix? Matrix, IReadOnlyList<(double Value, string Label)> Thresholds, bool Overlaid)
{
    /// <summary>Reads plotly.js's {data, layout}.</summary>
    /// <exception cref="NotSupportedException">a kind of trace that is not drawn here</exception>
    public static PictureData Of(GenericChart chart)
    {
        var figure = JsonNode.Parse(GenericChart.toFigureJson(chart))!;
        var (data, layout) = (figure["data"]!.AsArray(), figure["layout"] ?? new JsonObject());
        if (data.FirstOrDefault(trace => (string?)trace!["type"] is not ("scatter" or "bar" or "heatmap")) is { } other)
            throw new NotSupportedException($"A static picture shows scatter, bar and heatmap, not {(string?)other["type"]}: show the chart in a host that runs plotly.js.");
        var drawn = data.Where(trace => (string?)trace!["type"] != "heatmap" && (string?)trace["visible"] != "false").Select(trace => trace!).ToArray();
        string[]? categories = drawn.Any(HasWords) ? [.. (layout["xaxis"]?["categoryarray"] as JsonArray ?? []).Concat(drawn.SelectMany(trace => trace["x"]!.AsArray())).Select(Word).Distinct()] : null;
        return new PictureData(Text(layout["title"]), Text(layout["xaxis"]?["title"]), Text(layout["yaxis"]?["title"]), (string?)layout["xaxis"]?["type"] == "log", (string?)layout["yaxis"]?["type"] == "log",
            layout["yaxis"]?["range"] is JsonArray range ? [.. range.Select(Number)] : null, (int?)layout["width"] ?? ChartTheme.Width, (int?)layout["height"] ?? ChartTheme.Height, categories,
            [.. drawn.Select((trace, i) => TraceOf(trace, i, categories))], data.FirstOrDefault(trace => (string?)trace!["type"] == "heatmap") is { } map ? MatrixOf(map) : null,
            [.. (layout["shapes"] as JsonArray ?? []).Select(shape => (Number(shape!["y0"]), (string?)shape["name"] ?? ""))], (string?)layout["barmode"] == "overlay");
    }

    private static PictureTrace TraceOf(JsonNode trace, int index, string[]? categories)
    {
        double[] y = Values(trace["y"]), x = trace["x"] is not JsonArray places ? [.. Enumerable.Range(0, y.Length).Select(i => (double)i)]
            : categories is null ? Values(places) : [.. places.Select(place => (double)Array.IndexOf(categories, Word(place)))];
        double[]? up = trace["error_y"] is { } error ? Values(error["array"]) : null, down = up is null ? null : trace["error_y"]!["arrayminus"] is { } minus ? Values(minus) : up;
        string kind = (string?)trace["type"] == "bar" ? "bar" : (string?)trace["mode"] ?? "lines";
        return new PictureTrace((bool?)trace["showlegend"] == false ? "" : (string?)trace["name"] ?? "", kind, x, y, (trace["marker"]?["color"] ?? trace["line"]?["color"]) is JsonValue colour ? (string)colour! : Palette.Series(index),
            (string?)trace["line"]?["shape"] == "hv", trace["width"] switch { JsonArray widths => Values(widths), JsonValue one => [.. x.Select(_ => Number(one))], _ => null },
            up is null ? null : [.. y.Select((value, i) => (value - down![i], value + up[i]))]);
    }

    private static PictureMatrix MatrixOf(JsonNode map)
    {
        double[][] values = [.. map["z"]!.AsArray().Select(Values)];
        string[] Labels(string name, int count) => map[name] is JsonArray labels ? [.. labels.Select(Word)] : [.. Enumerable.Range(0, count).Select(i => $"{i}")];
        return new PictureMatrix(values, Labels("y", values.Length), Labels("x", values.Length == 0 ? 0 : values[0].Length), Text(map["colorbar"]?["title"]), map["zmid"] is not null, (bool?)map["showscale"] != false, map["texttemplate"] is not null,
            (string?)map["texttemplate"] == "%{text}" ? [.. map["text"]!.AsArray().Select(row => row!.AsArray().Select(text => (string)text!).ToArray())] : null);
    }

    private static bool HasWords(JsonNode trace) => trace["x"] is JsonArray places && places.Any(place => place is JsonValue value && value.TryGetValue<string>(out _));

    private static string Text(JsonNode? title) => title is JsonValue plain ? (string)plain! : (string?)title?["text"] ?? "";

    private static string Word(JsonNode? label) => label is JsonValue value && value.TryGetValue<string>(out string? word) ? word : Numbers.Short(Number(label));

    private static double[] Values(JsonNode? list) => [.. (list as JsonArray ?? []).Select(Number)];

    private static double Number(JsonNode? value) => value is JsonValue number && number.TryGetValue<double>(out double found) ? found : double.NaN;
}
