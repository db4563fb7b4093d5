using Microsoft.DotNet.Interactive.Formatting;

namespace NeuronQuant.Display;

/// <summary>How values are shown in a cell, in every host the same: HTML for the page, and text beside it for terminals, diffs and readers without a page.</summary>
public static class NotebookFormatting
{
    /// <summary>Tells the host's formatter; a second call changes nothing.</summary>
    public static void Register()
    {
        Formatter.SetPreferredMimeTypesFor(typeof(object), HtmlFormatter.MimeType, PlainTextFormatter.MimeType);
        Formatter.SetPreferredMimeTypesFor(typeof(string), PlainTextFormatter.MimeType);
    }
}
