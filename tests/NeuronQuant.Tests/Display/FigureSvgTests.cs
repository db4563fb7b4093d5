using System.Globalization;
using System.Xml.Linq;
using NeuronQuant.Display;
using Xunit;

namespace NeuronQuant.Tests.Display;

/// <summary>The SVG of a figure, read back by an XML parser: it is well formed, repeatable, and its marks stand where the values say.</summary>
public class FigureSvgTests
{
    private static readonly string[] Names = ["a", "b", "c"];

    public static TheoryData<string> Kinds => ["line", "bar", "histogram", "heat map", "large heat map", "log line", "log bar", "log histogram"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void EveryKindIsWellFormedAndTheSameBytesTwice(string kind)
    {
        var svg = Make(kind).ToSvg();
        Assert.Equal("svg", XElement.Parse(svg).Name.LocalName);
        Assert.Equal(svg, Make(kind).ToSvg());
        Assert.DoesNotContain("NaN", svg, StringComparison.Ordinal);
        Assert.DoesNotContain("∞", svg, StringComparison.Ordinal);
    }

    [Fact]
    public void ABarsHeightIsProportionalToItsValue()
    {
        var bars = Marks(Figure.Bar("t").Add("s", Names, [10.0, 20.0, 5.0]).ToSvg(), "rect");
        var heights = bars.Select(bar => Number(bar, "height")).ToArray();
        Assert.Equal(2, heights[1] / heights[0], 0.01);
        Assert.Equal(0.5, heights[2] / heights[0], 0.01);
        // All stand on the same line.
        Assert.Single(bars.Select(bar => Math.Round(Number(bar, "y") + Number(bar, "height"), 1)).Distinct());
    }

    [Fact]
    public void AWhiskerReachesFromTheLowerToTheUpperEnd()
    {
        var svg = Figure.Bar("t").Add("s", Names, [10.0, 20.0, 5.0], [(8.0, 14.0), (20.0, 20.0), (0.0, 30.0)]).ToSvg();
        var bars = Marks(svg, "rect");
        var unit = Number(bars[0], "height") / 10;
        var zero = Number(bars[0], "y") + Number(bars[0], "height");
        // Whiskers are the vertical lines with hover text: an interval each, the caps beside them have none.
        var whiskers = XElement.Parse(svg).Descendants().Where(e => e.Name.LocalName == "line" && e.Elements().Any() && Number(e, "x1") == Number(e, "x2")).ToArray();
        Assert.Equal([8, 20, 0], whiskers.Select(line => Math.Round((zero - Number(line, "y1")) / unit, 1)));
        Assert.Equal([14, 20, 30], whiskers.Select(line => Math.Round((zero - Number(line, "y2")) / unit, 1)));
        Assert.Equal(Number(bars[0], "x") + Number(bars[0], "width") / 2, Number(whiskers[0], "x1"), 0.6);
        Assert.Throws<ArgumentException>(() => Figure.Bar("t").Add("s", ["a"], [1.0], [(2.0, 3.0)]));
        Assert.Throws<ArgumentException>(() => Figure.Bar("t").Add("s", ["a", "b"], [1.0, 2.0], [(1.0, 3.0)]));
    }

    [Fact]
    public void ANegativeBarHangsFromZero()
    {
        var bars = Marks(Figure.Bar("t").Add("s", Names, [1.0, -1.0, 0.5]).ToSvg(), "rect");
        var zero = Number(bars[0], "y") + Number(bars[0], "height");
        Assert.Equal(zero, Number(bars[1], "y"), 0.02);
        Assert.Equal(Number(bars[0], "height"), Number(bars[1], "height"), 0.02);
    }

    [Fact]
    public void OnALogAxisEqualRatiosAreEqualLengths()
    {
        var points = Marks(Figure.Line("t").Add("s", [1, 2, 3], [1e-4, 1e-2, 1.0]).LogY().WithMarkers().ToSvg(), "circle");
        var y = points.Select(point => Number(point, "cy")).ToArray();
        Assert.Equal(y[0] - y[1], y[1] - y[2], 0.03);
        Assert.True(y[0] > y[2], "a greater value stands higher");
    }

    [Fact]
    public void HistogramBarsAreProportionalToCountsWithCommonEdges()
    {
        var figure = Figure.Histogram("t", bins: 4).Add("one", [0.0, 0.1, 0.2, 1.1, 3.9, 4.0]).Add("two", [2.5, 2.6]);
        var bars = Marks(figure.ToSvg(), "rect");
        // Of the first: 3 values in [0,1), 1 in [1,2), none in [2,3), 2 in [3,4]; of the second: 2 in [2,3).
        var heights = bars.Select(bar => Number(bar, "height")).ToArray();
        Assert.Equal(4, heights.Length);
        Assert.Equal(3, heights[0] / heights[1], 0.02);
        Assert.Equal(2, heights[2] / heights[1], 0.02);
        Assert.Equal(2, heights[3] / heights[1], 0.02);
    }

    [Fact]
    public void TheHighlightHasItsOwnColourAndLegend()
    {
        var svg = Figure.Bar("t").Add("s", Names, [1.0, 9.0, 2.0]).Highlight(value => value > 5, "kept in bf16").ToSvg();
        var bars = Marks(svg, "rect");
        Assert.Null(bars[0].Attribute("fill"));
        Assert.Equal(Palette.Highlight, bars[1].Attribute("fill")!.Value);
        Assert.Contains(">kept in bf16<", svg, StringComparison.Ordinal);
    }

    [Fact]
    public void HoverTextCarriesTheValue()
    {
        var svg = Figure.Bar("t").Add("int8", Names, [1.0, 2.5, 3.0]).ToSvg();
        Assert.Contains("<title>b: 2.5</title>", svg, StringComparison.Ordinal);
    }

    [Fact]
    public void MarkupInEveryTextIsEscaped()
    {
        const string hostile = "<script>&\"'\u0001</script>";
        var figure = Figure.Bar(hostile, hostile, hostile).Add(hostile, [hostile, "b"], [1.0, 2.0]).Add("other", [hostile, "b"], [1.0, 2.0])
            .Threshold(1, hostile);
        var document = XElement.Parse(figure.ToSvg());
        Assert.DoesNotContain(document.Descendants(), element => element.Name.LocalName == "script");
        Assert.Contains(document.Descendants(), element => element.Value == "<script>&\"'</script>");
    }

    [Fact]
    public void WhatCannotBeDrawnIsSaid()
    {
        Assert.Contains("Not drawn: 2 of 3 values (NaN or infinite)", Figure.Line("t").Add("s", [double.NaN, double.PositiveInfinity, 1]).ToSvg(),
            StringComparison.Ordinal);
        Assert.Contains("Not drawn: 1 of 3 values (zero or less", Figure.Line("t").Add("s", [0.0, 10, 1]).LogY().ToSvg(), StringComparison.Ordinal);
        Assert.Contains("Grey: 1 of 2 cells", Figure.HeatMap("t", new[,] { { 1, double.NaN } }).ToSvg(), StringComparison.Ordinal);
    }

    [Fact]
    public void ALineIsBrokenWhereAValueIsMissing()
    {
        var path = Marks(Figure.Line("t").Add("s", [1.0, 2, double.NaN, 3, 4]).ToSvg(), "path").Single();
        Assert.Equal(2, path.Attribute("d")!.Value.Count(c => c == 'M'));
    }

    [Fact]
    public void EmptyFiguresSayThatThereIsNoData()
    {
        Figure[] empty = [Figure.Line("t"), Figure.Bar("t"), Figure.Histogram("t"), Figure.HeatMap("t", new double[0, 0]),
            Figure.Line("t").Add("s", [double.NaN]), Figure.Histogram("t").Add("s", Array.Empty<float>()),
            Figure.Bar("t").Add("s", [], Array.Empty<int>())];
        foreach (var figure in empty)
        {
            Assert.Contains("No data to draw", figure.ToSvg(), StringComparison.Ordinal);
            XElement.Parse(figure.ToSvg());
        }
    }

    [Theory]
    [InlineData(1e300, 3e300)]
    [InlineData(1e-300, 3e-300)]
    [InlineData(5, 5)]
    [InlineData(0, 0)]
    [InlineData(-3, -1)]
    [InlineData(1, 1.0000001)]
    public void ExtremeRangesStayInsideThePicture(double low, double high)
    {
        var points = Marks(Figure.Line("t").Add("s", [low, high]).WithMarkers().ToSvg(), "circle");
        Assert.All(points, point => Assert.InRange(Number(point, "cy"), 0, 380));
        Assert.Equal(2, points.Length);
    }

    [Fact]
    public void ALargeHeatMapStaysSmall()
    {
        // A notebook has 150 KB for everything.
        Assert.InRange(Make("large heat map").ToSvg().Length, 1, 40_000);
    }

    [Fact]
    public void MisuseIsNamed()
    {
        Assert.Contains("3 values for 2 categories",
            Assert.Throws<ArgumentException>(() => Figure.Bar("t").Add("s", ["a", "b"], [1, 2, 3])).Message, StringComparison.Ordinal);
        Assert.Contains("other categories", Assert.Throws<ArgumentException>(() => Figure.Bar("t").Add("s", ["a"], [1])
            .Add("u", ["b"], [1])).Message, StringComparison.Ordinal);
        Assert.Contains("is a Bar figure", Assert.Throws<InvalidOperationException>(() => Figure.Bar("t").Add("s", [1, 2])).Message,
            StringComparison.Ordinal);
        Assert.Contains("edge 1", Assert.Throws<ArgumentException>(() => Figure.Histogram("t").AddCounts("s", [1.0, 1.0], [1])).Message,
            StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => Figure.HeatMap("t", new double[2, 2], ["only one"]));
    }

    private static Figure Make(string kind)
    {
        var random = new Random(3);
        double[] values = [.. Enumerable.Range(0, 200).Select(_ => random.NextDouble() - 0.2)];
        var cells = new double[40, 50];
        for (var i = 0; i < cells.Length; i++) cells[i / 50, i % 50] = random.NextDouble();
        return kind switch
        {
            "line" => Figure.Line("Line", "layer", "variance").Add("a", values).Add("b", values.Select(v => v * 2).ToArray()).Threshold(0.1, "kept"),
            "log line" => Figure.Line("Line").Add("a", values).LogY().WithMarkers(),
            "bar" => Figure.Bar("Bar", "module", "bytes").Add("s", Enumerable.Range(0, 30).Select(i => $"layers.{i}.self_attn"), values.Take(30)),
            "log bar" => Figure.Bar("Bar").Add("s", Enumerable.Range(0, 30).Select(i => $"{i}"), values.Take(30)).LogY(),
            "histogram" => Figure.Histogram("Histogram").Add("a", values),
            "log histogram" => Figure.Histogram("Histogram").AddCounts("a", [0, 1, 2, 4], [1, 0, 5]).LogY(),
            "heat map" => Figure.HeatMap("Heat", new double[,] { { 1, 2 }, { 3, 40 } }, showValues: true, logColour: true, colour: "error"),
            _ => Figure.HeatMap("Heat", cells),
        };
    }

    /// <summary>The marks: elements of this name in groups after the axes, which have hover text (a line's path has none).</summary>
    private static XElement[] Marks(string svg, string element) =>
        [.. XElement.Parse(svg).Descendants().Where(e => e.Name.LocalName == element
            && (element == "path" || e.Elements().Any(child => child.Name.LocalName == "title")))];

    private static double Number(XElement element, string attribute) =>
        double.Parse(element.Attribute(attribute)!.Value, CultureInfo.InvariantCulture);
}
