using System.Text.Json.Nodes;
using System.Xml.Linq;
using NeuronQuant.Display;
using Plotly.NET;
using Xunit;
using Chart = Plotly.NET.CSharp.Chart;

namespace NeuronQuant.Tests.Display;

/// <summary>Charts as plotly.js's JSON, as a static picture and as text: the same numbers in each, and nothing drawn that is not there.</summary>
public class ChartTests
{
    private static readonly XNamespace Svg = "http://www.w3.org/2000/svg";

    [Fact]
    public void Plotly_gets_the_exact_numbers_and_a_cell_may_restyle_them()
    {
        var chart = Charts.Together(Charts.Line("a", [1, 2, 3], [1.0, 0.3, 0.1]), Charts.Points("b", [1.5], [0.2f], ["here"])).Titled("t").Axes("step", "loss").LogY().Threshold(0.5, "limit");
        var json = Json(chart);
        Assert.Equal([1.0, 0.3, 0.1], json["data"]![0]!["y"]!.AsArray().Select(value => (double)value!));
        Assert.Equal(("lines+markers", "markers"), ((string)json["data"]![0]!["mode"]!, (string)json["data"]![1]!["mode"]!));
        Assert.Equal(("log", "loss", "step", "t"), ((string)json["layout"]!["yaxis"]!["type"]!, (string)json["layout"]!["yaxis"]!["title"]!["text"]!, (string)json["layout"]!["xaxis"]!["title"]!["text"]!, (string)json["layout"]!["title"]!["text"]!));
        Assert.Equal(0.5, (double)json["layout"]!["shapes"]![0]!["y0"]!);
        var restyled = Json(chart.Traces(trace => trace.Set("opacity", 0.5)).Layout(layout => layout.Set("showlegend", false)));
        Assert.Equal((0.5, false, "loss"), ((double)restyled["data"]![0]!["opacity"]!, (bool)restyled["layout"]!["showlegend"]!, (string)restyled["layout"]!["yaxis"]!["title"]!["text"]!));
    }

    [Fact]
    public void A_picture_has_a_mark_for_each_value_at_its_place()
    {
        var svg = XElement.Parse(Charts.Line("a", [0, 1, 2], [0.0, 1.0, 2.0]).Titled("t").ToSvg());
        double[] y = [.. svg.Descendants(Svg + "circle").Select(circle => (double)circle.Attribute("cy")!)], x = [.. svg.Descendants(Svg + "circle").Select(circle => (double)circle.Attribute("cx")!)];
        Assert.Equal(3, y.Length);
        Assert.Equal(y[0] - y[1], y[1] - y[2], 1); // equal differences, equal lengths
        Assert.Equal(x[1] - x[0], x[2] - x[1], 1);
        Assert.True(y[0] > y[2] && x[2] > x[0]);
        Assert.Contains(svg.Descendants(Svg + "text"), text => text.Value == "t");
    }

    [Fact]
    public void The_height_of_a_bar_is_its_value_and_a_whisker_reaches_its_ends()
    {
        double[] values = [10, 40, 30];
        var svg = XElement.Parse(Charts.Bars("a", ["p", "q", "r"], values).Between(values, [(5, 15), (35, 45), (30, 30)]).ToSvg());
        double[] heights = [.. svg.Elements(Svg + "g").First(group => group.Attribute("fill")?.Value == Palette.Series(0)).Elements(Svg + "rect").Select(rect => (double)rect.Attribute("height")!)];
        for (int i = 0; i < 3; i++) Assert.Equal(values[i] / values[1], heights[i] / heights[1], 2);
        double[] whiskers = [.. svg.Elements(Svg + "line").Where(line => line.Attribute("stroke")?.Value == Palette.Ink && (string)line.Attribute("x1")! == (string)line.Attribute("x2")!)
            .Select(line => (double)line.Attribute("y1")! - (double)line.Attribute("y2")!)];
        Assert.Equal(10 / 40.0, whiskers[0] / heights[1], 2);
        Assert.Equal(0, whiskers[2], 2);
        Assert.Contains(svg.Descendants(Svg + "text"), text => text.Value == "40");
    }

    [Fact]
    public void A_small_matrix_shows_its_values_white_at_zero_and_a_large_one_stays_small()
    {
        var small = XElement.Parse(Charts.Cells([-1.0, 0, 1, 0.25], columns: 2).ToSvg());
        Assert.Superset(new HashSet<string> { "-1", "0", "1", "0.25" }, small.Descendants(Svg + "text").Select(text => text.Value).ToHashSet());
        Assert.Equal(["#2166ac", "#f7f7f7", "#b2182b"], Shades(small).Select(shade => shade.Fill).Take(3));
        Assert.DoesNotContain(small.Descendants(Svg + "rect"), rect => (double)rect.Attribute("width")! == 14); // every value is written: no colour bar
        var matrix = new double[100, 100];
        for (int i = 0; i < 10_000; i++) matrix[i / 100, i % 100] = Math.Sin(i);
        Assert.InRange(Charts.HeatMap(matrix).ToSvg().Length, 10_000, 200_000);
        Assert.Throws<ArgumentException>(() => Charts.HeatMap(new double[200, 200]));
    }

    [Fact]
    public void Panels_beside_each_other_show_their_own_values_in_shares_of_their_own_largest()
    {
        var chart = Charts.Beside(2, ("w", [0.5, -0.25]), ("w_q", [127, -64]));
        var svg = XElement.Parse(chart.ToSvg());
        Assert.Superset(new HashSet<string> { "0.5", "-0.25", "127", "-64", "w", "w_q" }, svg.Descendants(Svg + "text").Select(text => text.Value).ToHashSet());
        Assert.Equal([2, 2], Shades(svg).Select(shade => shade.Cells)); // the gap is not drawn; equal shares, equal colours
        var map = Json(chart)["data"]![0]!;
        Assert.Equal((1.0, "-64", "%{text}"), ((double)map["z"]![0]![3]!, (string)map["text"]![0]![4]!, (string)map["texttemplate"]!));
        Assert.Equal(5, map["x"]!.AsArray().Select(label => (string)label!).Distinct().Count());
        Assert.Contains("3, 2", Assert.Throws<ArgumentException>(() => Charts.Beside(1, ("a", [1, 2, 3]), ("b", [1, 2]))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_route_names_each_place_and_what_is_done_between_them()
    {
        var route = new Route("The way", new Station("file", "0.5"), new Station("code <8 bits>", "64", "divide", Rounds: true));
        Assert.Equal("The way\nfile: 0.5\n  | divide (rounds)\ncode <8 bits>: 64", route.ToString());
        var svg = XElement.Parse(route.ToSvg());
        Assert.Superset(new HashSet<string> { "The way", "file", "0.5", "code <8 bits>", "64", "divide" }, svg.Descendants(Svg + "text").Select(text => text.Value).ToHashSet());
        Assert.Contains("data:image/svg+xml;base64,", route.ToHtml(), StringComparison.Ordinal);
    }

    [Fact]
    public void What_cannot_be_drawn_is_left_out_and_said()
    {
        string svg = Charts.Line("a", [0, 1, 2, 3], [1.0, double.NaN, 100, -1]).LogY().ToSvg();
        Assert.Contains("Not drawn: 1 of 4 values (NaN or infinite).", svg, StringComparison.Ordinal);
        Assert.Contains("Not drawn: 1 of 4 values (zero or less, which a logarithmic axis cannot show).", svg, StringComparison.Ordinal);
        string path = XElement.Parse(svg).Element(Svg + "path")!.Attribute("d")!.Value;
        Assert.Equal(2, path.Count(letter => letter == 'M')); // broken, never bridged
        Assert.Empty(XElement.Parse(Charts.Line("a", Array.Empty<int>(), Array.Empty<int>()).ToSvg()).Descendants(Svg + "circle"));
    }

    [Fact]
    public void A_histogram_counts_every_finite_value_once()
    {
        double[] values = [.. Enumerable.Range(0, 1000).Select(i => (double)i), double.NaN, double.PositiveInfinity];
        var bars = Json(Charts.Histogram("a", values, bins: 10))["data"]![0]!;
        Assert.Equal([100, .. Enumerable.Repeat(100.0, 8), 100], bars["y"]!.AsArray().Select(value => (double)value!));
        Assert.Equal(49.95, (double)bars["x"]![0]!, 9);
        Assert.Equal([3.0], Json(Charts.Histogram("a", [5, 5, 5], bins: 1))["data"]![0]!["y"]!.AsArray().Select(value => (double)value!));
    }

    [Fact]
    public void Steps_hold_their_value_until_the_next() =>
        Assert.Matches("^M[0-9. ]+H[0-9.]+V[0-9.]+H[0-9.]+V[0-9.]+$", XElement.Parse(Charts.Steps("a", [0, 1, 2], [1, 2, 3]).ToSvg()).Element(Svg + "path")!.Attribute("d")!.Value);

    [Fact]
    public void Another_kind_is_named()
    {
        var pie = Chart.Pie<double, string, string>(values: [1.0, 2.0], Labels: new[] { "a", "b" });
        Assert.Contains("pie", Assert.Throws<NotSupportedException>(() => pie.ToSvg()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Wrong_lengths_and_intervals_name_the_series()
    {
        Assert.Contains("\"a\": 2 values for 1 positions", Assert.Throws<ArgumentException>(() => Charts.Line("a", [1], [1, 2])).Message, StringComparison.Ordinal);
        Assert.Contains("outside of its interval", Assert.Throws<ArgumentException>(() => Charts.Bars("a", ["p"], [3.0]).Between([3.0], [(4, 5)])).Message, StringComparison.Ordinal);
        Assert.Contains("edge 1", Assert.Throws<ArgumentException>(() => Charts.Counts("a", [1.0, 1.0], [3])).Message, StringComparison.Ordinal);
        Assert.Contains("\"limit\"", Assert.Throws<ArgumentException>(() => Charts.Line("a", [1], [1]).Threshold(double.NaN, "limit")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_chart_is_fitted_to_its_legend_and_its_axes_when_it_is_shown()
    {
        string[] names = [.. Enumerable.Range(0, 8).Select(i => $"a long name of series {i}")];
        var chart = Charts.Together(names.Select(name => Charts.Line(name, [0, 1, 2], [0.002, 0.003, 0.02]))).LogY().Threshold(0.01, "limit").Sized(720, 400);
        string picture = chart.ToSvg();
        var layout = Json(chart.Fitted().Fitted())["layout"]!;
        Assert.Equal(picture, chart.ToSvg());
        Assert.Equal((60 + (20.0 * 3), 1), ((double)layout["margin"]!["t"]!, (double)layout["xaxis"]!["dtick"]!)); // nine entries, three to a row
        Assert.Equal(["0.002", "0.005", "0.01", "0.02"], layout["yaxis"]!["ticktext"]!.AsArray().Select(text => (string)text!));
        var alone = Json(Charts.Line("a", [0.5, 1.5], [1.0, 2.0]).Fitted())["layout"]!;
        Assert.Equal(60.0, (double)alone["margin"]!["t"]!); // one entry needs no legend
        Assert.Null(alone["xaxis"]?["dtick"]);
    }

    [Fact]
    public void The_same_chart_gives_the_same_bytes_in_any_culture()
    {
        var before = System.Globalization.CultureInfo.CurrentCulture;
        string first = Make().ToHtml();
        System.Globalization.CultureInfo.CurrentCulture = new System.Globalization.CultureInfo("") { NumberFormat = new System.Globalization.NumberFormatInfo { NumberDecimalSeparator = "," } };
        try
        {
            Assert.Equal(first, Make().ToHtml());
        }
        finally
        {
            System.Globalization.CultureInfo.CurrentCulture = before;
        }
        static GenericChart Make() => Charts.Line("a", [0.5, 1.5], [1.25, 2.75]).Titled("t").Threshold(1.5, "limit");
    }

    [Fact]
    public void Text_says_title_axes_ranges_and_lines()
    {
        string text = Charts.Line("a", [0, 1, 2], [0.5, double.NaN, 2.5]).Titled("t").Axes("x", "y (dB)").Threshold(1, "limit").ToText();
        Assert.Equal("t  (x: x, y: y (dB))\n  a  3 points, 0.5 to 2.5 (1 not finite)  ▁ █\n  line at 1: limit", text);
    }

    private static (string Fill, int Cells)[] Shades(XElement svg) => [.. svg.Elements(Svg + "g").First(group => group.Attribute("transform") is not null).Elements(Svg + "path")
        .Select(path => ((string)path.Attribute("fill")!, ((string)path.Attribute("d")!).Count(letter => letter == 'M')))];

    private static JsonNode Json(GenericChart chart) => JsonNode.Parse(GenericChart.toFigureJson(chart))!;
}
