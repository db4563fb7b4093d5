using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Markdig;
using Markdig.Syntax;
using Markdig.Syntax.Inlines;
using NeuronQuant.Display;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>One cell of a notebook as HTML: Markdown rendered, code highlighted, outputs in their richest form.</summary>
internal static class CellHtml
{
    private static readonly MarkdownPipeline Pipeline = new MarkdownPipelineBuilder().UsePipeTables().UseAutoIdentifiers().UseFootnotes()
        .UseEmphasisExtras().Build();

    /// <summary>The cell as HTML.</summary>
    /// <param name="cell">Of any type.</param>
    /// <param name="folder">The notebook's folder, for images.</param>
    /// <param name="chapters">File names of the notebooks in the book: links to them lead to their pages.</param>
    public static string Write(Cell cell, string folder, IReadOnlyCollection<string> chapters)
    {
        if (!cell.IsCode) return Prose(cell.Source, folder, chapters);
        if (cell.Source.Trim().Length == 0) return "";
        var html = new StringBuilder("<pre class=\"code\">").Append(CodeHighlighter.Highlight(cell.Source)).Append("</pre>\n");
        foreach (var output in cell.Outputs) html.Append("<div class=\"out\">").Append(Output(output!)).Append("</div>\n");
        return html.ToString();
    }

    private static string Output(JsonNode output) => (string?)output["output_type"] switch
    {
        "stream" => $"<pre{((string?)output["name"] == "stderr" ? " class=\"err\"" : "")}>{Encode(Cell.Join(output["text"]))}</pre>",
        "error" => $"<pre class=\"err\">{Encode($"{output["ename"]}: {output["evalue"]}")}</pre>",
        _ when output["data"]?[NotebookFormatting.PlotlyMimeType] is { } figure && output["data"]?["text/html"] is { } still => Figure(figure, Cell.Join(still)),
        _ when output["data"]?["text/html"] is { } html => Cell.Join(html),
        _ when output["data"]?["image/svg+xml"] is { } svg => Cell.Join(svg),
        _ => $"<pre>{Encode(Cell.Join(output["data"]?["text/plain"]))}</pre>",
    };

    // The static picture stands there until the page's script has drawn the figure over it, and stays where no script runs. In JSON a "<" may be
    // written as an escape, so that no label can end the script element.
    private static string Figure(JsonNode figure, string still) =>
        $"<div class=\"figure\">{still}<script type=\"application/json\">{figure.ToJsonString().Replace("<", "\\u003c", StringComparison.Ordinal)}</script></div>";

    private static string Prose(string markdown, string folder, IReadOnlyCollection<string> chapters)
    {
        var document = Markdown.Parse(markdown, Pipeline);
        foreach (var link in document.Descendants<LinkInline>())
            if (link.Url is { } url) link.Url = link.IsImage ? Embed(url, folder) : ToPage(url, chapters);
        return document.ToHtml(Pipeline);
    }

    private static string ToPage(string url, IReadOnlyCollection<string> chapters)
    {
        var parts = url.Split('#', 2);
        if (!chapters.Contains(parts[0])) return url;
        return Path.ChangeExtension(parts[0], ".html") + (parts.Length > 1 ? "#" + parts[1] : "");
    }

    /// <summary>A picture beside the notebook becomes part of the page, which may be moved.</summary>
    private static string Embed(string url, string folder)
    {
        var type = Path.GetExtension(url).ToLowerInvariant() switch
        {
            ".png" => "image/png",
            ".svg" => "image/svg+xml",
            ".jpg" or ".jpeg" => "image/jpeg",
            _ => null,
        };
        if (type is null || url.Contains(':', StringComparison.Ordinal)) return url;
        var path = Path.Combine(folder, url);
        return File.Exists(path) ? $"data:{type};base64,{Convert.ToBase64String(File.ReadAllBytes(path))}" : url;
    }

    private static string Encode(string text) => WebUtility.HtmlEncode(text);
}
