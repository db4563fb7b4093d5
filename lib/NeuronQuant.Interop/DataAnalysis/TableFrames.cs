using System.Globalization;
using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.Interop.DataAnalysis;

/// <summary>A table as a data frame and back.</summary>
/// <remarks>
/// <para>A column of numbers of one kind keeps that kind; numbers of several kinds become double, where int and long cannot both be kept; anything
/// else becomes text in the invariant culture. A cell without a value is null in both. No text is ever parsed, so no culture can change a number.</para>
/// <para>What a data frame has no place for is lost on the way: a column's number format, alignment and highlighted rows. Column names of a data
/// frame are unique, so a repeated one is an error here rather than a lost column.</para>
/// <para>A warning about the package itself: its GroupBy.Mean and Description count a null as a value, its column.Mean does not.</para>
/// </remarks>
public static class TableFrames
{
    /// <summary>All rows of the table as a data frame.</summary>
    /// <exception cref="ArgumentException">two columns have one name</exception>
    public static DataFrame ToDataFrame(this Table table)
    {
        ArgumentNullException.ThrowIfNull(table);
        if (table.Columns.GroupBy(column => column.Name, StringComparer.Ordinal).FirstOrDefault(group => group.Count() > 1) is { } repeated)
            throw new ArgumentException($"Table \"{table.Title}\" has {repeated.Count()} columns called \"{repeated.Key}\", and a data frame needs one name for each: rename them.", nameof(table));
        return new DataFrame(Enumerable.Range(0, table.Columns.Count).Select(column => Convert(table.Columns[column].Name, [.. table.Rows.Select(row => row[column])])));
    }

    /// <summary>All rows of a data frame as a table.</summary>
    /// <param name="frame">the data frame</param>
    /// <param name="title">the caption</param>
    /// <exception cref="ArgumentException">the data frame has no column</exception>
    public static Table ToTable(this DataFrame frame, string title = "")
    {
        ArgumentNullException.ThrowIfNull(frame);
        var table = new Table(title, [.. frame.Columns.Select(column => new Column(column.Name))]);
        for (long row = 0; row < frame.Rows.Count; row++) table.Row([.. frame.Columns.Select(column => column[row])]);
        return table;
    }

    private static DataFrameColumn Convert(string name, object?[] cells)
    {
        Type[] kinds = [.. cells.Where(cell => cell is not null).Select(cell => cell!.GetType()).Distinct()];
        return kinds switch
        {
            [] => new StringDataFrameColumn(name, cells.Length),
            [var kind] when kind == typeof(bool) => Values<bool>(name, cells),
            [var kind] when kind == typeof(int) => Values<int>(name, cells),
            [var kind] when kind == typeof(long) => Values<long>(name, cells),
            [var kind] when kind == typeof(float) => Values<float>(name, cells),
            [var kind] when kind == typeof(double) => Values<double>(name, cells),
            _ when kinds.All(kind => kind == typeof(int) || kind == typeof(long)) => Values<long>(name, cells),
            _ when kinds.All(IsNumber) => Values<double>(name, cells),
            _ => new StringDataFrameColumn(name, cells.Select(Text)),
        };
    }

    private static PrimitiveDataFrameColumn<T> Values<T>(string name, object?[] cells) where T : unmanaged => new(name, cells
        .Select(cell => cell switch { null => (T?)null, T value => value, Half value => (T)(object)(double)value, _ => (T)System.Convert.ChangeType(cell, typeof(T), CultureInfo.InvariantCulture) }));

    private static bool IsNumber(Type kind) => kind == typeof(Half) || (Type.GetTypeCode(kind) is >= TypeCode.SByte and <= TypeCode.Decimal && !kind.IsEnum);

    private static string? Text(object? cell) => cell is IFormattable value ? value.ToString(null, CultureInfo.InvariantCulture) : cell?.ToString();
}
