namespace NeuronQuant.Display;

/// <summary>Tells a notebook host how to render a type, without a reference to the host.</summary>
/// <remarks>
/// .NET Interactive looks for an attribute of this NAME on a value's type, from any assembly, creates its <see cref="FormatterSourceType"/>
/// and asks it for formatters: objects with a <c>MimeType</c> and a <c>Format(object, TextWriter)</c>. Each preferred mime type is
/// emitted. Other hosts look for a public <c>ToHtml()</c> or use <c>ToString()</c>; every result type here has both.
/// </remarks>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct)]
public sealed class TypeFormatterSourceAttribute(Type formatterSourceType) : Attribute
{
    /// <summary>A type with a public parameterless constructor and a <c>CreateTypeFormatters()</c>.</summary>
    public Type FormatterSourceType { get; } = formatterSourceType;

    /// <summary>The mime types to emit, best first.</summary>
    public string[]? PreferredMimeTypes { get; set; }
}

/// <summary>Writes a value as one mime type.</summary>
/// <param name="mimeType">For example "text/html".</param>
/// <param name="write">Returns the text, or null when the value is not of a kind it knows.</param>
public sealed class TypeFormatter(string mimeType, Func<object, string?> write)
{
    /// <summary>What <see cref="Format"/> writes.</summary>
    public string MimeType { get; } = mimeType;

    /// <summary>Writes the value; false when it cannot.</summary>
    public bool Format(object value, TextWriter writer)
    {
        var text = write(value);
        if (text is null) return false;
        writer.Write(text);
        return true;
    }
}

/// <summary>For any type with a public parameterless <c>string ToHtml()</c>: its HTML, and beside it what <c>ToString()</c> says.</summary>
public sealed class HtmlFormatterSource
{
    /// <summary>Two formatters.</summary>
    public IEnumerable<object> CreateTypeFormatters() =>
    [
        new TypeFormatter("text/html", value => value.GetType().GetMethod("ToHtml", Type.EmptyTypes)?.Invoke(value, null) as string),
        new TypeFormatter("text/plain", value => value.ToString()),
    ];
}
