using System.Globalization;
using Microsoft.Data.Analysis;
using NeuronQuant.Display;
using Xunit;

namespace NeuronQuant.Tests.Display;

/// <summary>Data frames: kinds of columns, what is shown of them, and a culture with a decimal comma.</summary>
public class FrameTests
{
    private static readonly DataFrame Mixed = new FrameRows("t", "name", "count", new Column("share", "0.00"), "whole", "flag", "loose", "empty")
        .Row("a", 1, 0.1, 1L << 40, true, 1, null).Row(null, 2, null, 3L, false, 2.5f, null).Row("c", 3, double.NaN, -1L, null, (Half)0.5, null).Mark();

    [Fact]
    public void Columns_keep_their_kind_and_cells_their_value()
    {
        Assert.Equal([typeof(string), typeof(int), typeof(double), typeof(long), typeof(bool), typeof(double), typeof(string)], Mixed.Columns.Select(column => column.DataType));
        Assert.Equal([1, 0, 1, 0, 1, 0, 3], Mixed.Columns.Select(column => (int)column.NullCount));
        Assert.Equal(6.0, Convert.ToDouble(Mixed["count"].Sum(), CultureInfo.InvariantCulture));
        Assert.Equal([1.0, 2.5, 0.5], ((PrimitiveDataFrameColumn<double>)Mixed["loose"]).Select(value => value!.Value));
    }

    [Fact]
    public void It_shows_caption_formats_marks_and_alignment()
    {
        string[] lines = Mixed.ToText().Split('\n');
        Assert.Equal("t", lines[0]);
        Assert.StartsWith("  name  count  share", lines[1], StringComparison.Ordinal);
        Assert.StartsWith("  a         1   0.10  1099511627776  yes", lines[3], StringComparison.Ordinal);
        Assert.StartsWith("* c         3    NaN", lines[5], StringComparison.Ordinal);
        Assert.Contains("<caption", Mixed.ToHtml(), StringComparison.Ordinal);
        Assert.Single(Mixed.ToHtml().Split("rgba(230,159,0,0.25)")[1..]);
    }

    [Fact]
    public void Twenty_rows_are_shown_and_the_rest_is_counted()
    {
        var frame = Frames.From("", Enumerable.Range(0, 25), ("n", n => n), ("square", n => n * n * 1.5));
        Assert.EndsWith("... 5 more", frame.ToText(), StringComparison.Ordinal);
        Assert.Equal(22, frame.ToText().Split('\n').Length - 1);
        Assert.Contains(">... 5 more<", frame.ToHtml(), StringComparison.Ordinal);
        Assert.Equal(27, frame.ToText(int.MaxValue).Split('\n').Length);
    }

    [Fact]
    public void It_filters_sorts_and_joins_as_any_data_frame()
    {
        var frame = Frames.From("modules", Enumerable.Range(0, 10), ("layer", i => i), ("score", i => i * 0.25));
        var high = frame.Filter(frame["score"].ElementwiseGreaterThan(1.5)).OrderByDescending("score");
        Assert.Equal([9, 8, 7], high["layer"].Cast<int>());
        Assert.Equal("layer  score\n-----  -----\n    9   2.25", high.Head(1).ToText());
        Assert.Equal(10, frame.Merge(frame, ["layer"], ["layer"]).Rows.Count);
    }

    [Fact]
    public void No_culture_changes_a_number()
    {
        var before = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = new CultureInfo("") { NumberFormat = new NumberFormatInfo { NumberDecimalSeparator = ",", NumberGroupSeparator = "." } };
        try
        {
            DataFrame frame = new FrameRows("", "v", "w").Row(1.5, "x").Row(2.5m, 1234.5);
            Assert.Equal([1.5, 2.5], ((PrimitiveDataFrameColumn<double>)frame["v"]).Select(value => value!.Value));
            Assert.Contains("1.5", frame.ToText(), StringComparison.Ordinal);
            Assert.DoesNotContain("1,5", frame.ToHtml(), StringComparison.Ordinal);
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    [Fact]
    public void Text_from_outside_is_escaped_and_stays_on_its_line()
    {
        DataFrame frame = new FrameRows("<t>", "<c>").Row("<b>\nx");
        Assert.DoesNotContain("<b>", frame.ToHtml(), StringComparison.Ordinal);
        Assert.Equal(4, frame.ToText().Split('\n').Length);
    }

    [Fact]
    public void Wrong_columns_and_rows_are_named()
    {
        Assert.Contains("\"a\"", Assert.Throws<ArgumentException>(() => new FrameRows("", "a", "a").ToDataFrame()).Message, StringComparison.Ordinal);
        Assert.Contains("row 0 has 1 values for 2 columns", Assert.Throws<ArgumentException>(() => new FrameRows("t", "a", "b").Row(1).ToDataFrame()).Message, StringComparison.Ordinal);
        Assert.Contains("no column", Assert.Throws<ArgumentException>(() => new FrameRows("t").ToDataFrame()).Message, StringComparison.Ordinal);
        Assert.Equal(0, new FrameRows("t", "a").ToDataFrame().Rows.Count);
    }
}
