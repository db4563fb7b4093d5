using System.Text.Json.Nodes;
using NeuronQuant.Interop.PlotlyNet;
using Plotly.NET;
using Plotly.NET.LayoutObjects;
using Xunit;
using Figure = NeuronQuant.Display.Figure;

namespace NeuronQuant.Tests.Display;

/// <summary>A chart of Plotly.NET against the figure's own Plotly JSON: the same numbers, and layout objects that later styling keeps.</summary>
public class FigureChartsTests
{
    public static TheoryData<string> Kinds => ["line", "bar", "intervals", "histogram", "heatmap"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void It_has_the_numbers_and_titles_of_the_figures_own_JSON(string kind)
    {
        var figure = Make(kind);
        var (expected, actual) = (JsonNode.Parse(figure.ToPlotlyJson())!, JsonNode.Parse(GenericChart.toFigureJson(figure.ToPlotlyNet()))!);
        var traces = actual["data"]!.AsArray();
        Assert.Equal(expected["data"]!.AsArray().Count, traces.Count(trace => (string?)trace!["name"] != "kept"));
        foreach (var (left, right) in expected["data"]!.AsArray().Zip(traces))
            foreach (string field in new[] { "type", "name", "mode", "x", "y", "z", "width", "colorscale" })
                if (left![field] is { } value) Same(value, right![field]);
        if (expected["data"]![0]!["error_y"] is { } whiskers)
        {
            foreach (string field in new[] { "array", "arrayminus" }) Same(whiskers[field]!, traces[0]!["error_y"]![field]);
            Assert.Equal((bool?)whiskers["symmetric"], (bool?)traces[0]!["error_y"]!["symmetric"]);
        }
        foreach (string path in new[] { "title", "xaxis", "yaxis" })
            Assert.Equal((string?)(path == "title" ? expected["layout"]![path]!["text"] : expected["layout"]![path]!["title"]!["text"]),
                (string?)(path == "title" ? actual["layout"]![path]!["text"] : actual["layout"]![path]!["title"]!["text"]));
        foreach (string axis in new[] { "xaxis", "yaxis" })
            foreach (string field in new[] { "type", "autorange" }) Assert.Equal((string?)expected["layout"]![axis]![field], (string?)actual["layout"]![axis]![field]);
        Assert.Equal((string?)expected["layout"]!["barmode"], (string?)actual["layout"]!["barmode"]);
    }

    [Fact]
    public void Styling_it_later_keeps_what_was_set()
    {
        var chart = Make("line").ToPlotlyNet();
        var axis = Layout.getLinearAxisById(StyleParam.SubPlotId.NewYAxis(1)).Invoke(GenericChart.getLayout(chart));
        Assert.IsType<LinearAxis>(axis);
        var wider = new LinearAxis();
        wider.SetValue("gridwidth", 3);
        var json = JsonNode.Parse(GenericChart.toFigureJson(Chart.WithYAxis(wider, null).Invoke(chart)))!["layout"]!["yaxis"]!;
        Assert.Equal(("log", "loss", 3), ((string?)json["type"], (string?)json["title"]!["text"], (int)json["gridwidth"]!));
        var shape = JsonNode.Parse(GenericChart.toFigureJson(chart))!["layout"]!["shapes"]![0]!;
        Assert.Equal((0.5, "limit", "paper"), ((double)shape["y0"]!, (string?)shape["label"]!["text"], (string?)shape["xref"]));
    }

    [Fact]
    public void A_highlight_has_its_entry_in_the_legend()
    {
        var json = JsonNode.Parse(GenericChart.toFigureJson(Make("bar").ToPlotlyNet()))!;
        Assert.True((bool)json["layout"]!["showlegend"]!);
        Assert.Equal("h", (string?)json["layout"]!["legend"]!["orientation"]);
        Assert.Contains(json["data"]!.AsArray(), trace => (string?)trace!["name"] == "kept" && trace["y"]![0] is null);
        string[] colours = [.. json["data"]![0]!["marker"]!["color"]!.AsArray().Select(colour => (string)colour!)];
        Assert.Equal(2, colours.Distinct().Count());
    }

    [Fact]
    public void A_label_cannot_end_the_pages_script()
    {
        var figure = Figure.Bar("</script><b>", x: "</script>").Add("</script>", ["</script>"], [1.0]);
        string page = GenericChart.toEmbeddedHTML(figure.ToPlotlyNet());
        string plain = GenericChart.toEmbeddedHTML(Figure.Bar("t", x: "x").Add("s", ["c"], [1.0]).ToPlotlyNet());
        Assert.Equal(plain.Split("</script>").Length, page.Split("</script>").Length);
        Assert.Contains("&lt;/script>", page, StringComparison.Ordinal);
    }

    private static Figure Make(string kind) => kind switch
    {
        "line" => Figure.Line("lines", x: "step", y: "loss").Add("a", [1, 2, 3], [1.0, double.NaN, 0.1]).Add("b", [1, 2], [0.3, double.PositiveInfinity]).LogY().WithMarkers().Threshold(0.5, "limit"),
        "bar" => Figure.Bar("bars", y: "MiB").Add("s", ["q", "k"], [1.5, -2]).Add("t", ["q", "k"], [0.1, 3]).Highlight(["k"], "kept"),
        "intervals" => Figure.Bar("bars", y: "percent").Add("s", ["q", "k"], [50.0, 75], [(40.0, 62.5), (70.0, 80.0)]),
        "histogram" => Figure.Histogram("counts", x: "value", bins: 4).Add("v", [0.0, 1, 1, 2, 4]).AddCounts("w", [0, 2, 4], [7, 8]),
        _ => Figure.HeatMap("map", new[,] { { 1.0, 10 }, { 0, 1000 } }, ["r0", "r1"], ["c0", "c1"], colour: "scale", logColour: true),
    };

    private static void Same(JsonNode expected, JsonNode? actual)
    {
        if (expected is JsonArray list)
        {
            Assert.Equal(list.Count, actual!.AsArray().Count);
            for (int i = 0; i < list.Count; i++)
                if (list[i] is { } item) Same(item, actual[i]);
                else Assert.Null(actual[i]);
        }
        else if (expected.GetValueKind() == System.Text.Json.JsonValueKind.Number) Assert.Equal((double)expected, (double)actual!); // exactly
        else Assert.Equal((string?)expected, (string?)actual);
    }
}
