using System.Net;
using System.Text;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Writes executed notebooks as a small web book: an index and one page for each.</summary>
/// <remarks>
/// Nothing from the network: a page is readable alone, with the static pictures of the notebooks' own outputs, and can be mailed or printed. Beside
/// the pages lies one copy of plotly.js, as Plotly.NET brings it, which draws the figures over their pictures so that they can be hovered and zoomed.
/// </remarks>
internal static class Book
{
    private const string PlotlyFile = "plotly.min.js";

    // A page without the file beside it keeps its static pictures.
    // On a phone cells with numbers keep their size and scroll; lines get the room there is, a heading of several lines, and a legend with a row for
    // each entry.
    private const string Script = """
        function narrow({data, layout}, place) {
          if (data[0].type == 'heatmap') { layout.width = 560; place.style.maxWidth = 'none'; return; }
          const entries = data.length + (layout.shapes || []).length, title = (layout.title?.text || '').match(/.{1,42}(\s|$)/g) || [];
          layout.width = place.clientWidth;
          layout.title = {text: title.join('<br>'), font: {size: 13}};
          layout.legend = {orientation: 'v', x: 0, y: 1.02, yanchor: 'bottom'};
          const above = 30 + 18 * title.length + (entries > 1 ? 20 * entries : 0);
          layout.height += above - layout.margin.t;
          layout.margin.t = above;
        }
        if (window.Plotly) for (const place of document.querySelectorAll('.figure')) {
          const figure = JSON.parse(place.querySelector('script').textContent);
          const plot = document.createElement('div');
          if (figure.layout.width > place.clientWidth) narrow(figure, place);
          place.replaceChildren(plot);
          Plotly.newPlot(plot, figure.data, figure.layout, {responsive: true, displaylogo: false, displayModeBar: matchMedia('(hover: hover)').matches ? 'hover' : false});
        }
        """;

    private const string Style = """
        :root{color-scheme:light dark}
        body{font:16px/1.6 system-ui,-apple-system,"Segoe UI",Arial,sans-serif;max-width:52rem;margin:0 auto;padding:1.5rem}
        h1,h2,h3{line-height:1.25;margin:1.8em 0 .6em}h1{margin-top:.4em}
        pre{font:13px/1.5 ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre-wrap;overflow-wrap:anywhere;margin:.6em 0;padding:.7em .9em;border-radius:6px}
        .code{background:#f4f6f8;color:#1f2933;border-left:3px solid #0072b2}
        .out{border-left:3px solid #c5ccd3;margin:.6em 0 1.4em;padding:.1em 0 .1em .9em;overflow-x:auto;box-sizing:border-box;width:fit-content;min-width:100%;max-width:calc(100vw - 3rem)}.out pre{padding:0}
        .err{color:#b00020}.k{color:#0b5cad}.s{color:#a3380d}.c{color:#5f7a5f;font-style:italic}.n{color:#8a3fa0}
        code{font:.9em ui-monospace,Menlo,Consolas,monospace}
        .figure{width:fit-content;max-width:100%}
        table{border-collapse:collapse;margin:.6em 0}th,td{padding:3px 10px}th{border-bottom:1px solid #888}
        body>table{display:block;overflow-x:auto}
        nav{display:flex;justify-content:space-between;gap:1em;margin:1em 0;font-size:.9em}
        img,svg{max-width:100%}blockquote{border-left:3px solid #c5ccd3;margin-left:0;padding-left:1em}
        @media screen and (prefers-color-scheme:dark){
          body{background:#15191e;color:#d7dde3}a{color:#6cb6ff}.code{background:#1f262e;color:#d7dde3;border-color:#4aa3df}.out{border-color:#3d4650}
          .err{color:#ff8080}.k{color:#79b8ff}.s{color:#f0a070}.c{color:#8fb08f}.n{color:#d2a8ff}
          .figure,.out img,.out>svg{background:#fff;color-scheme:light;border-radius:6px}
        }
        @media (max-width:600px){body{padding:1rem}.out table{width:max-content;max-width:42rem}.out{padding-left:.6em;max-width:calc(100vw - 2rem)}th,td{padding:3px 6px}.out img{max-width:none!important;width:560px}}
        @media print{nav{display:none}body{max-width:none;font-size:11pt}.code,.out{break-inside:avoid}}
        """;

    /// <summary>Writes index.html and a page for each chapter, over what an earlier run left.</summary>
    /// <param name="chapters">Executed notebooks, in order.</param>
    /// <param name="folders">The folder of each, for its images.</param>
    /// <param name="output">Where the pages go.</param>
    public static void Write(IReadOnlyList<Notebook> chapters, IReadOnlyList<string> folders, string output)
    {
        for (var i = 0; i < chapters.Count; i++)
        {
            var body = new StringBuilder(Navigation(chapters, i));
            foreach (var cell in chapters[i].Cells) body.Append(CellHtml.Write(cell, folders[i], [.. chapters.Select(chapter => chapter.Name)]));
            body.Append(Navigation(chapters, i));
            AtomicFile.Write(Path.Combine(output, PageOf(chapters[i])), Page(chapters[i].Title, body.ToString()));
        }
        AtomicFile.Write(Path.Combine(output, "index.html"), Page("NeuronQuant Workbook", Index(chapters)));
        AtomicFile.Write(Path.Combine(output, PlotlyFile), Plotly());
    }

    private static string Plotly()
    {
        var assembly = typeof(Plotly.NET.GenericChart).Assembly;
        string name = assembly.GetManifestResourceNames().Single(name => name.StartsWith("Plotly.NET.plotly-", StringComparison.Ordinal) && name.EndsWith(".min.js", StringComparison.Ordinal));
        using var reader = new StreamReader(assembly.GetManifestResourceStream(name)!);
        return reader.ReadToEnd();
    }

    private static string PageOf(Notebook chapter) => Path.ChangeExtension(chapter.Name, ".html");

    private static string Index(IReadOnlyList<Notebook> chapters)
    {
        var html = new StringBuilder("<h1>NeuronQuant Workbook</h1>\n<ul>\n");
        foreach (var chapter in chapters) html.Append(Link(PageOf(chapter), chapter.Title, "<li>", "</li>\n"));
        return html.Append("</ul>\n").ToString();
    }

    private static string Navigation(IReadOnlyList<Notebook> chapters, int index)
    {
        var previous = index > 0 ? Link(PageOf(chapters[index - 1]), "← " + chapters[index - 1].Title) : "<span></span>";
        var next = index + 1 < chapters.Count ? Link(PageOf(chapters[index + 1]), chapters[index + 1].Title + " →") : "<span></span>";
        return $"<nav>{previous}{Link("index.html", "Contents")}{next}</nav>\n";
    }

    private static string Link(string target, string text, string before = "", string after = "") =>
        $"{before}<a href=\"{Uri.EscapeDataString(target)}\">{WebUtility.HtmlEncode(text)}</a>{after}";

    private static string Page(string title, string body) =>
        $"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
        + $"<title>{WebUtility.HtmlEncode(title)}</title>\n<style>\n{Style}\n</style>\n</head>\n<body>\n{body}{(body.Contains("class=\"figure\"", StringComparison.Ordinal) ? $"<script src=\"{PlotlyFile}\"></script>\n<script>\n{Script}\n</script>\n" : "")}</body>\n</html>\n";
}
