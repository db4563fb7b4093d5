using System.Text.Json.Nodes;
using NeuronQuant.Display;
using Xunit;

namespace NeuronQuant.Tests.Display;

/// <summary>A figure as Plotly JSON, as text, and by the notebook hosts' rendering convention.</summary>
public class FigureFormatsTests
{
    [Fact]
    public void PlotlyJsonHasTheExactNumbers()
    {
        double[] x = [0.1, 1.0 / 3, 1e-300];
        double[] y = [Math.PI, -0.0000123456789012345, double.NaN];
        var trace = Parse(Figure.Line("t", "layer", "variance").Add("s", x, y))["data"]![0]!;
        Assert.Equal("scatter", (string)trace["type"]!);
        Assert.Equal(x, trace["x"]!.AsArray().Select(v => (double)v!));
        Assert.Equal(y[..2], trace["y"]!.AsArray().Take(2).Select(v => (double)v!));
        Assert.Null(trace["y"]![2]);
    }

    [Fact]
    public void PlotlyLayoutHasTitlesLogAxisAndThreshold()
    {
        var layout = Parse(Figure.Line("<t> & \"q\"", "layer", "variance").Add("s", [1, 2]).LogY().Threshold(0.5, "kept"))["layout"]!;
        Assert.Equal("<t> & \"q\"", (string)layout["title"]!["text"]!);
        Assert.Equal("layer", (string)layout["xaxis"]!["title"]!["text"]!);
        Assert.Equal("log", (string)layout["yaxis"]!["type"]!);
        Assert.Equal(0.5, (double)layout["shapes"]![0]!["y0"]!);
    }

    [Fact]
    public void PlotlyHeatMapKeepsTrueValuesUnderALogColour()
    {
        var trace = Parse(Figure.HeatMap("t", new double[,] { { 1, 100 } }, logColour: true))["data"]![0]!;
        Assert.Equal([0.0, 2.0], trace["z"]![0]!.AsArray().Select(v => (double)v!));
        Assert.Equal([1.0, 100.0], trace["customdata"]![0]!.AsArray().Select(v => (double)v!));
    }

    [Fact]
    public void PlotlyBarsAndBinsHaveCategoriesAndWidths()
    {
        var bar = Parse(Figure.Bar("t").Add("s", ["a", "b"], [1, 2]).Highlight(["b"], "kept"))["data"]![0]!;
        Assert.Equal(["a", "b"], bar["x"]!.AsArray().Select(v => (string)v!));
        Assert.Equal(Palette.Highlight, (string)bar["marker"]!["color"]![1]!);
        var error = Parse(Figure.Bar("t").Add("s", ["a"], [3.0], [(1.0, 7.0)]))["data"]![0]!["error_y"]!;
        Assert.Equal((4.0, 2.0), ((double)error["array"]![0]!, (double)error["arrayminus"]![0]!));
        var bins = Parse(Figure.Histogram("t").AddCounts("s", [0, 1, 3], [5, 6]))["data"]![0]!;
        Assert.Equal([0.5, 2.0], bins["x"]!.AsArray().Select(v => (double)v!));
        Assert.Equal([1.0, 2.0], bins["width"]!.AsArray().Select(v => (double)v!));
    }

    [Fact]
    public void TextNamesSeriesRangeAndShape()
    {
        var text = Figure.Line("Outliers", "layer", "variance").Add("self_attn", [0, 1, 2], [0.5, 0.25, 0.125]).Threshold(0.3, "kept").ToString();
        Assert.Equal("Outliers  (x: layer, y: variance)\n  self_attn  3 points, 0.125 to 0.5  █▃▁\n  line at 0.3: kept", text);
    }

    [Fact]
    public void HostsFindBothMimeTypesByTheConvention()
    {
        // As a host does it: by the attribute's name, without knowing our types.
        var attribute = typeof(Figure).GetCustomAttributes(false).Single(a => a.GetType().Name == "TypeFormatterSourceAttribute");
        dynamic data = attribute;
        var source = Activator.CreateInstance((Type)data.FormatterSourceType)!;
        var formatters = ((IEnumerable<object>)((dynamic)source).CreateTypeFormatters()).ToArray();
        Assert.Equal(["text/html", "application/vnd.plotly.v1+json", "text/plain"], formatters.Select(f => (string)((dynamic)f).MimeType));
        Assert.Equal(["text/html", "application/vnd.plotly.v1+json", "text/plain"], (string[])data.PreferredMimeTypes);
        var figure = Figure.Line("t").Add("s", [1, 2]);
        var writer = new StringWriter();
        Assert.True(((dynamic)formatters[0]).Format((object)figure, (TextWriter)writer));
        Assert.Equal(figure.ToSvg(), writer.ToString());
        Assert.False(((dynamic)formatters[0]).Format((object)"no figure", (TextWriter)writer));
    }

    [Fact]
    public void TheHtmlSourceServesAnyTypeWithToHtml()
    {
        var formatter = new HtmlFormatterSource().CreateTypeFormatters().Cast<TypeFormatter>().Single(one => one.MimeType == "text/html");
        var table = new Table("t", "a").Row(1);
        var writer = new StringWriter();
        Assert.True(formatter.Format(table, writer));
        Assert.Equal(table.ToHtml(), writer.ToString());
    }

    private static JsonNode Parse(Figure figure) => JsonNode.Parse(figure.ToPlotlyJson())!;
}
