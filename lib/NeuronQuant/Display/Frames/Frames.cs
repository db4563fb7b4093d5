using System.Globalization;
using System.Runtime.CompilerServices;
using Microsoft.Data.Analysis;

namespace NeuronQuant.Display;

/// <summary>Makes data frames of results: typed columns, which a cell can sort, filter, join and chart.</summary>
/// <remarks>
/// <para>A column of numbers of one kind keeps that kind; numbers of several kinds become double, where int and long cannot both be kept; anything
/// else becomes text in the invariant culture. A missing value is null. No text is ever parsed, so no culture can change a number.</para>
/// <para>A caption, number formats and marked rows are for the eye. They are kept beside the frame, not in it: what Filter, OrderBy or Head
/// return has none, and is shown with four significant digits.</para>
/// <para>A warning about the package itself: its GroupBy.Mean and Description count a null as a value, its column.Mean does not.</para>
/// </remarks>
public static class Frames
{
    private static readonly ConditionalWeakTable<DataFrame, FrameLook> Looks = [];

    /// <summary>One row for each item.</summary>
    /// <param name="title">the caption; may be empty</param>
    /// <param name="items">what the rows are of</param>
    /// <param name="columns">a name, or a name with its format, and the value of an item</param>
    /// <exception cref="ArgumentException">there is no column, or two have one name</exception>
    public static DataFrame From<T>(string title, IEnumerable<T> items, params (Column Column, Func<T, object?> Value)[] columns)
    {
        ArgumentNullException.ThrowIfNull(columns);
        return FromRows(title, [.. columns.Select(column => column.Column)], items.Select(item => columns.Select(column => column.Value(item)).ToArray()));
    }

    /// <summary>A frame of rows that were made elsewhere.</summary>
    /// <param name="title">the caption; may be empty</param>
    /// <param name="columns">a name, or a name with its format</param>
    /// <param name="rows">a value for each column</param>
    /// <param name="marked">numbers of the rows that stand out where the frame is shown; null for none</param>
    /// <exception cref="ArgumentException">there is no column, two have one name, or a row has another number of values</exception>
    public static DataFrame FromRows(string title, Column[] columns, IEnumerable<object?[]> rows, IEnumerable<int>? marked = null)
    {
        ArgumentNullException.ThrowIfNull(columns);
        object?[][] all = [.. rows];
        if (columns.Length == 0) throw new ArgumentException($"Table \"{title}\" has no column: name at least one.", nameof(columns));
        if (columns.GroupBy(column => column.Name, StringComparer.Ordinal).FirstOrDefault(group => group.Count() > 1) is { } repeated)
            throw new ArgumentException($"Table \"{title}\" has {repeated.Count()} columns called \"{repeated.Key}\": rename them.", nameof(columns));
        if (Array.FindIndex(all, row => row.Length != columns.Length) is >= 0 and int wrong)
            throw new ArgumentException($"Table \"{title}\": row {wrong} has {all[wrong].Length} values for {columns.Length} columns.", nameof(rows));
        var frame = new DataFrame(columns.Select((column, i) => Convert(column.Name, [.. all.Select(row => row[i])])));
        Looks.Add(frame, new FrameLook(title, [.. columns.Select(column => column.Format)], (marked ?? []).ToHashSet()));
        return frame;
    }

    /// <summary>Makes the rows that meet a condition stand out where the frame is shown.</summary>
    public static DataFrame Mark(this DataFrame frame, Func<DataFrameRow, bool> condition)
    {
        ArgumentNullException.ThrowIfNull(frame);
        ArgumentNullException.ThrowIfNull(condition);
        int[] marked = [.. Enumerable.Range(0, (int)frame.Rows.Count).Where(row => condition(frame.Rows[row]))];
        Looks.AddOrUpdate(frame, frame.Look() with { Marked = marked.ToHashSet() });
        return frame;
    }

    /// <summary>The frame for a page: 20 rows unless told otherwise, and how many more there are.</summary>
    public static string ToHtml(this DataFrame frame, int most = FrameText.Most) => FrameText.Html(frame, frame.Look(), most);

    /// <summary>The frame for a terminal, columns aligned with spaces: 20 rows unless told otherwise, and how many more there are.</summary>
    public static string ToText(this DataFrame frame, int most = FrameText.Most) => FrameText.Plain(frame, frame.Look(), most);

    private static FrameLook Look(this DataFrame frame) => Looks.TryGetValue(frame, out var look) && look.Formats.Count == frame.Columns.Count ? look
        : new FrameLook("", new string?[frame.Columns.Count], new HashSet<int>());

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

    private static string? Text(object? cell) => cell switch
    {
        double value => Numbers.Short(value),
        float value => Numbers.Short(value),
        IFormattable value => value.ToString(null, CultureInfo.InvariantCulture),
        _ => cell?.ToString(),
    };
}

/// <summary>How a frame looks.</summary>
/// <param name="Title">The caption.</param>
/// <param name="Formats">A .NET number format for each column, or null.</param>
/// <param name="Marked">Rows that stand out.</param>
internal sealed record FrameLook(string Title, IReadOnlyList<string?> Formats, IReadOnlySet<int> Marked);
