using System.Globalization;
using System.Net;
using System.Text;

namespace NeuronQuant.Display;

/// <summary>Writes the few SVG elements that a figure needs, short and escaped.</summary>
/// <remarks>
/// SVG and not a bitmap: it is text, so a notebook's difference can be read, it prints at any size, and the same input gives the same
/// bytes. No identifiers, no style sheet and no script, because several figures share one page. Attributes that children have in common
/// belong on a group, which keeps a notebook small.
/// </remarks>
internal sealed class SvgCanvas
{
    private readonly StringBuilder _text = new();

    public SvgCanvas(double width, double height, string title) => Add($"""
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" style="max-width:100%;height:auto" role="img" aria-label="{Escape(title)}" font-family="system-ui,-apple-system,'Segoe UI','DejaVu Sans',Arial,sans-serif" font-size="12" fill="{Palette.Ink}">
        <rect width="{width}" height="{height}" rx="4" fill="{Palette.Background}"/>
        <text x="16" y="28" font-size="16" font-weight="600">{Escape(TextWidth.Cut(title, 16.5, width - 32))}</text>
        """);

    public void Open(string attributes) => Add($"<g {attributes}>");

    public void Close() => Add($"</g>");

    public void Rect(double x, double y, double width, double height, string attributes = "") => Add($"<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"{After(attributes)}/>");

    public void Line(double x1, double y1, double x2, double y2, string attributes = "") => Add($"<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"{After(attributes)}/>");

    public void Circle(double x, double y, double radius, string attributes = "") => Add($"<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"{After(attributes)}/>");

    public void Path(string commands, string attributes = "") => Add($"<path d=\"{commands}\"{After(attributes)}/>");

    public void Text(double x, double y, string content, string attributes = "") => Add($"<text x=\"{x}\" y=\"{y}\"{After(attributes)}>{Escape(content)}</text>");

    public string Finish() => _text.Append("</svg>").ToString();

    /// <summary>Escapes text for an element or an attribute, and drops the control characters that XML cannot hold.</summary>
    public static string Escape(string text) =>
        WebUtility.HtmlEncode(string.Concat(text.Where(c => !char.IsControl(c) || c is '\n' or '\t')))
            .Replace("&#39;", "'", StringComparison.Ordinal);

    private static string After(string attributes) => attributes.Length > 0 ? " " + attributes : "";

    // Every number of a picture is a coordinate.
    private void Add(FormattableString element) => _text.AppendFormat(CultureInfo.InvariantCulture, element.Format, [.. element.GetArguments().Select(part => part is double pixels ? Numbers.Coordinate(pixels) : part)]).Append('\n');
}
