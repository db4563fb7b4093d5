using System.Text.Json.Nodes;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>The functions that every C# cell has in scope, by the names that .NET Interactive gives them.</summary>
public static class CellFunctions
{
    /// <summary>Shows a value now, in all its preferred mime types or in those given.</summary>
    public static DisplayedValue display(object? value, params string[] mimeTypes)
    {
        var outputs = CellOutputs.Current ?? throw new InvalidOperationException("Nothing can be displayed here: no cell is running.");
        return new DisplayedValue(outputs, outputs.AddDisplay(ValueFormatter.Format(value, mimeTypes)), mimeTypes);
    }

    /// <summary>Text that is HTML already.</summary>
    public static HtmlText HTML(string content) => new(content);

    /// <summary>Shows a value now.</summary>
    public static DisplayedValue Display<T>(this T value, params string[] mimeTypes) => display(value, mimeTypes);

    /// <summary>Shows a value now in one mime type.</summary>
    public static DisplayedValue DisplayAs<T>(this T value, string mimeType) => display(value, mimeType);
}

/// <summary>HTML that is shown as it is.</summary>
/// <param name="Content">Markup.</param>
public sealed record HtmlText(string Content)
{
    /// <summary>The markup.</summary>
    public string ToHtml() => Content;

    /// <summary>The markup.</summary>
    public override string ToString() => Content;
}

/// <summary>A value that a cell has shown; it is not shown again when the cell ends with it.</summary>
public sealed class DisplayedValue
{
    private readonly CellOutputs _outputs;
    private readonly JsonObject _place;
    private readonly string[] _mimeTypes;

    internal DisplayedValue(CellOutputs outputs, JsonObject place, string[] mimeTypes) =>
        (_outputs, _place, _mimeTypes) = (outputs, place, mimeTypes);

    /// <summary>Shows another value in its place, while the cell still runs.</summary>
    public void Update(object? value) => _outputs.Replace(_place, ValueFormatter.Format(value, _mimeTypes));
}
