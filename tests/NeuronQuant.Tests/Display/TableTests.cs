using System.Text.Json.Nodes;
using System.Xml.Linq;
using NeuronQuant.Display;
using Xunit;

namespace NeuronQuant.Tests.Display;

/// <summary>One table, four ways of writing it.</summary>
public class TableTests
{
    private static Table Modules() => new Table("Modules", "module", new Column("bits"), new Column("MSE", "0.000"))
        .Row("layers.0.self_attn", 8, 0.5).Row("lm_head", 16, 0.0624).Highlight(row => (string)row[0]! == "lm_head");

    [Fact]
    public void PlainTextIsAligned() => Assert.Equal(
        "Modules\n"
        + "  module              bits    MSE\n"
        + "  ------------------  ----  -----\n"
        + "  layers.0.self_attn     8  0.500\n"
        + "* lm_head               16  0.062", Modules().ToString());

    [Fact]
    public void MarkdownAlignsNumbersRight() => Assert.Equal(
        "**Modules**\n\n| module | bits | MSE |\n| --- | ---: | ---: |\n| layers.0.self_attn | 8 | 0.500 |\n| **lm_head** | **16** | **0.062** |",
        Modules().ToMarkdown());

    [Fact]
    public void MarkdownEscapesBarsAndMarkup() =>
        Assert.Contains("| a\\|b &lt;i> c |", new Table("", "x").Row("a|b <i>\nc").ToMarkdown(), StringComparison.Ordinal);

    [Fact]
    public void HtmlIsWellFormedEscapedAndRightAligned()
    {
        var html = new Table("<t>", "name", "n").Row("<b>&\"", 1).Row("x", null).ToHtml();
        var table = XElement.Parse(html);
        var cells = table.Descendants("td").ToArray();
        Assert.Equal("<b>&\"", cells[0].Value);
        Assert.Contains("text-align:right", cells[1].Attribute("style")!.Value, StringComparison.Ordinal);
        Assert.Contains("text-align:left", cells[0].Attribute("style")!.Value, StringComparison.Ordinal);
        Assert.Equal("<t>", table.Element("caption")!.Value);
    }

    [Fact]
    public void JsonHasRawNumbersAndAllRows()
    {
        var table = new Table("t", new Column("v", "0.0"), "ok", "none").Row(1.0 / 3, true, null).Row(double.NaN, false, null).Show(1);
        var rows = JsonNode.Parse(table.ToJson())!.AsArray();
        Assert.Equal(2, rows.Count);
        Assert.Equal(1.0 / 3, (double)rows[0]!["v"]!);
        Assert.True((bool)rows[0]!["ok"]!);
        Assert.Null(rows[0]!["none"]);
        Assert.Null(rows[1]!["v"]);
    }

    [Fact]
    public void RowsBeyondTheLimitAreCounted()
    {
        var table = new Table("t", "i");
        for (var i = 0; i < 10; i++) table.Row(i);
        table.Show(3);
        Assert.EndsWith("2\n... 7 more", table.ToString(), StringComparison.Ordinal);
        Assert.Contains("... 7 more", table.ToHtml(), StringComparison.Ordinal);
        Assert.Equal(4, XElement.Parse(table.ToHtml()).Descendants("td").Count());
        Assert.EndsWith("... 7 more", table.ToMarkdown(), StringComparison.Ordinal);
    }

    [Fact]
    public void ARowOfTheWrongLengthIsNamed()
    {
        var error = Assert.Throws<ArgumentException>(() => new Table("Modules", "a", "b").Row(1));
        Assert.StartsWith("Table \"Modules\": row 0 has 1 values for 2 columns.", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FromTakesOneRowOfEachItem()
    {
        var table = Table.From("t", new[] { 1, 2 }, ("n", n => n), ("square", n => n * n));
        Assert.Equal("t\nn  square\n-  ------\n1       1\n2       4", table.ToString());
    }
}
