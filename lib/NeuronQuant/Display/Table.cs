using System.Globalization;

namespace NeuronQuant.Display;

/// <summary>Which side a column's cells lean to.</summary>
public enum Alignment
{
    /// <summary>Right when every value of the column is a number, else left.</summary>
    Auto,

    /// <summary>Left, as for names.</summary>
    Left,

    /// <summary>Right, as for numbers.</summary>
    Right,
}

/// <summary>One column of a <see cref="Table"/>.</summary>
/// <param name="Name">Its heading, with the unit.</param>
/// <param name="Format">A .NET number format such as "0.000"; null shows four significant digits of a fraction and all digits of an integer.</param>
/// <param name="Alignment">Which side its cells lean to.</param>
public sealed record Column(string Name, string? Format = null, Alignment Alignment = Alignment.Auto)
{
    /// <summary>A column with this heading and nothing else said.</summary>
    public static implicit operator Column(string name) => new(name);
}

/// <summary>Rows of values under named columns: one table for a notebook, a terminal, a README and a program.</summary>
/// <remarks>
/// Cells keep the values they were given; formatting happens when the table is written, always in the invariant culture. The HTML has no
/// colour of its own except a transparent tint, so that it is readable on a light and on a dark page.
/// </remarks>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed class Table
{
    private readonly List<object?[]> _rows = [];
    private readonly HashSet<int> _highlighted = [];

    /// <summary>An empty table.</summary>
    /// <param name="title">The caption; may be empty.</param>
    /// <param name="columns">A name, or a name with its format and alignment.</param>
    /// <exception cref="ArgumentException">There is no column.</exception>
    public Table(string title, params Column[] columns)
    {
        if (columns.Length == 0) throw new ArgumentException($"Table \"{title}\" has no column: name at least one.", nameof(columns));
        (Title, Columns) = (title, columns);
    }

    /// <summary>The caption.</summary>
    public string Title { get; }

    /// <summary>Columns, left to right.</summary>
    public IReadOnlyList<Column> Columns { get; }

    /// <summary>Values, row by row.</summary>
    public IReadOnlyList<IReadOnlyList<object?>> Rows => _rows;

    /// <summary>Indices of the rows that stand out.</summary>
    public IReadOnlySet<int> Highlighted => _highlighted;

    /// <summary>How many rows are shown before "... N more"; JSON always has all of them.</summary>
    public int MaxRows { get; private set; } = 50;

    /// <summary>A table of one row for each item.</summary>
    public static Table From<T>(string title, IEnumerable<T> items, params (Column Column, Func<T, object?> Value)[] columns)
    {
        var table = new Table(title, [.. columns.Select(column => column.Column)]);
        foreach (var item in items) table.Row([.. columns.Select(column => column.Value(item))]);
        return table;
    }

    /// <summary>Adds a row.</summary>
    /// <exception cref="ArgumentException">The number of values is not the number of columns.</exception>
    public Table Row(params object?[] values)
    {
        if (values.Length != Columns.Count)
            throw new ArgumentException($"Table \"{Title}\": row {_rows.Count} has {values.Length} values for {Columns.Count} columns.",
                nameof(values));
        _rows.Add([.. values]);
        return this;
    }

    /// <summary>Makes the rows that meet the condition stand out.</summary>
    public Table Highlight(Func<IReadOnlyList<object?>, bool> condition)
    {
        for (var i = 0; i < _rows.Count; i++)
            if (condition(_rows[i])) _highlighted.Add(i);
        return this;
    }

    /// <summary>Makes one row stand out.</summary>
    public Table Highlight(int row)
    {
        if (row < 0 || row >= _rows.Count)
            throw new ArgumentOutOfRangeException(nameof(row), row,
                $"Table \"{Title}\" has {_rows.Count} rows: highlight one of them after adding it.");
        _highlighted.Add(row);
        return this;
    }

    /// <summary>Shows at most so many rows.</summary>
    public Table Show(int maxRows)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxRows, 1);
        MaxRows = maxRows;
        return this;
    }

    /// <summary>The table for a notebook or a page.</summary>
    public string ToHtml() => TableText.Html(this);

    /// <summary>The table as GitHub's Markdown.</summary>
    public string ToMarkdown() => TableText.Markdown(this);

    /// <summary>All rows as JSON objects, numbers as numbers.</summary>
    public string ToJson() => TableText.Json(this);

    /// <summary>The table for a terminal: columns aligned with spaces.</summary>
    public override string ToString() => TableText.Plain(this);

    /// <summary>Whether a column leans right.</summary>
    internal bool IsRight(int column) => Columns[column].Alignment switch
    {
        Alignment.Left => false,
        Alignment.Right => true,
        _ => _rows.Any(row => row[column] is not null) && _rows.All(row => row[column] is null || IsNumber(row[column])),
    };

    /// <summary>A cell as text.</summary>
    internal string Text(int row, int column) => (_rows[row][column], Columns[column].Format) switch
    {
        (null, _) => "",
        (double value, null) => Numbers.Short(value),
        (float value, null) => Numbers.Short(value),
        (Half value, null) => Numbers.Short((double)value),
        (IFormattable value, var format) => value.ToString(IsNumber(value) ? format : null, CultureInfo.InvariantCulture),
        ({ } value, _) => value.ToString() ?? "",
    };

    internal static bool IsNumber(object? value) =>
        value is double or float or Half or decimal or int or long or uint or ulong or short or ushort or byte or sbyte;
}
