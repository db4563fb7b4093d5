using System.Globalization;
using Microsoft.Data.Analysis;
using NeuronQuant.Display;
using NeuronQuant.Interop.DataAnalysis;
using Xunit;

namespace NeuronQuant.Tests.Display;

/// <summary>Tables as data frames and back: kinds, nulls, order, and a culture with a decimal comma.</summary>
public class TableFramesTests
{
    private static readonly Table Mixed = new Table("t", "name", "count", "share", "whole", "flag", "loose", "empty")
        .Row("a", 1, 0.1, 1L << 40, true, 1, null).Row(null, 2, null, 3L, false, 2.5f, null).Row("c", 3, double.NaN, -1L, null, (Half)0.5, null);

    [Fact]
    public void Columns_keep_their_kind_and_cells_their_value()
    {
        var frame = Mixed.ToDataFrame();
        Assert.Equal(["name", "count", "share", "whole", "flag", "loose", "empty"], frame.Columns.Select(column => column.Name));
        Assert.Equal([typeof(string), typeof(int), typeof(double), typeof(long), typeof(bool), typeof(double), typeof(string)], frame.Columns.Select(column => column.DataType));
        Assert.Equal([1, 0, 1, 0, 1, 0, 3], frame.Columns.Select(column => (int)column.NullCount));
        Assert.Equal(6.0, Convert.ToDouble(frame["count"].Sum(), CultureInfo.InvariantCulture));
        var back = frame.ToTable("t");
        Assert.Equal(Mixed.Rows.Select(row => row.Take(5)), back.Rows.Select(row => row.Take(5)));
        Assert.Equal([1.0, 2.5, 0.5], back.Rows.Select(row => (double)row[5]!));
    }

    [Fact]
    public void No_culture_changes_a_number()
    {
        var before = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = new CultureInfo("") { NumberFormat = new NumberFormatInfo { NumberDecimalSeparator = ",", NumberGroupSeparator = "." } };
        try
        {
            var frame = new Table("", "v", "w").Row(1.5, "x").Row(2.5m, 1234.5).ToDataFrame();
            Assert.Equal([1.5, 2.5], ((PrimitiveDataFrameColumn<double>)frame["v"]).Select(value => value!.Value));
            Assert.Equal("1234.5", frame["w"][1]);
            Assert.Equal(1.5, frame.ToTable().Rows[0][0]);
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    [Fact]
    public void Two_columns_of_one_name_are_refused_and_no_rows_are_not()
    {
        Assert.Contains("\"a\"", Assert.Throws<ArgumentException>(() => new Table("", "a", "a").ToDataFrame()).Message, StringComparison.Ordinal);
        var empty = new Table("", "a", "b").ToDataFrame();
        Assert.Equal((2, 0L), (empty.Columns.Count, empty.Rows.Count));
        Assert.Empty(empty.ToTable().Rows);
    }

    [Fact]
    public void A_results_table_can_be_filtered_as_a_data_frame()
    {
        var frame = Table.From("modules", Enumerable.Range(0, 10), ("layer", i => i), ("score", i => i * 0.25)).ToDataFrame();
        var high = frame.Filter(frame["score"].ElementwiseGreaterThan(1.5));
        Assert.Equal(["7", "8", "9"], (string[])[.. high["layer"].Cast<object>().Select(layer => $"{layer}")]);
    }
}
