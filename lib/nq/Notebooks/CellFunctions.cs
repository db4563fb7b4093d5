using Microsoft.DotNet.Interactive;
using Microsoft.DotNet.Interactive.Events;
using Microsoft.DotNet.Interactive.Formatting;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>The functions that every C# cell has in scope, by the names that .NET Interactive gives them.</summary>
/// <remarks>The package's own publish an update under an identifier of its own, which no listener can follow to the value that it replaces.</remarks>
public static class CellFunctions
{
    /// <summary>Shows a value now, in all its preferred mime types or in those given.</summary>
    public static ShownValue display(object? value, params string[] mimeTypes) => new ShownValue(mimeTypes).Publish(value, isUpdate: false);

    /// <summary>Text that is HTML already.</summary>
    public static Microsoft.AspNetCore.Html.HtmlString HTML(string content) => new(content);

    /// <summary>Shows a value now.</summary>
    public static ShownValue Display<T>(this T value, params string[] mimeTypes) => display(value, mimeTypes);

    /// <summary>Shows a value now in one mime type.</summary>
    public static ShownValue DisplayAs<T>(this T value, string mimeType) => display(value, mimeType);
}

/// <summary>A value that a cell has shown, and may show again in its place while the cell runs.</summary>
public sealed class ShownValue
{
    private readonly string _id = Guid.NewGuid().ToString("N");
    private readonly string[] _mimeTypes;

    internal ShownValue(string[] mimeTypes) => _mimeTypes = mimeTypes;

    /// <summary>Shows another value in its place.</summary>
    public void Update(object? value) => Publish(value, isUpdate: true);

    internal ShownValue Publish(object? value, bool isUpdate)
    {
        var context = KernelInvocationContext.Current ?? throw new InvalidOperationException("Nothing can be displayed here: no cell is running.");
        var formatted = FormattedValue.CreateManyFromObject(value, _mimeTypes);
        context.Publish(isUpdate ? new DisplayedValueUpdated(value, _id, context.Command, formatted) : new DisplayedValueProduced(value, context.Command, formatted, _id));
        return this;
    }
}
