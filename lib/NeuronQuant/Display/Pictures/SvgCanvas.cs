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

    public SvgCanvas(double width, double height, string title)
    {
        var (w, h) = (Numbers.Coordinate(width), Numbers.Coordinate(height));
        _text.Append($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" ")
            .Append($"style=\"max-width:100%;height:auto\" role=\"img\" aria-label=\"{Escape(title)}\" ")
            .Append("font-family=\"system-ui,-apple-system,'Segoe UI','DejaVu Sans',Arial,sans-serif\" font-size=\"12\" ")
            .Append($"fill=\"{Palette.Ink}\">\n")
            .Append($"<rect width=\"{w}\" height=\"{h}\" rx=\"4\" fill=\"{Palette.Background}\"/>\n");
    }

    public void Open(string attributes) => _text.Append("<g ").Append(attributes).Append(">\n");

    public void Close() => _text.Append("</g>\n");

    public void Rect(double x, double y, double width, double height, string attributes = "")
    {
        _text.Append($"<rect x=\"{Numbers.Coordinate(x)}\" y=\"{Numbers.Coordinate(y)}\" ")
            .Append($"width=\"{Numbers.Coordinate(width)}\" height=\"{Numbers.Coordinate(height)}\"");
        Finish(attributes);
    }

    public void Line(double x1, double y1, double x2, double y2, string attributes = "")
    {
        _text.Append($"<line x1=\"{Numbers.Coordinate(x1)}\" y1=\"{Numbers.Coordinate(y1)}\" ")
            .Append($"x2=\"{Numbers.Coordinate(x2)}\" y2=\"{Numbers.Coordinate(y2)}\"");
        Finish(attributes);
    }

    public void Circle(double x, double y, double radius, string attributes = "")
    {
        _text.Append($"<circle cx=\"{Numbers.Coordinate(x)}\" cy=\"{Numbers.Coordinate(y)}\" r=\"{Numbers.Coordinate(radius)}\"");
        Finish(attributes);
    }

    public void Path(string commands, string attributes = "")
    {
        _text.Append("<path d=\"").Append(commands).Append('"');
        Finish(attributes);
    }

    public void Text(double x, double y, string content, string attributes = "") =>
        _text.Append($"<text x=\"{Numbers.Coordinate(x)}\" y=\"{Numbers.Coordinate(y)}\"")
            .Append(attributes.Length > 0 ? " " + attributes : "").Append('>').Append(Escape(content)).Append("</text>\n");

    public string Finish() => _text.Append("</svg>").ToString();

    /// <summary>Escapes text for an element or an attribute, and drops the control characters that XML cannot hold.</summary>
    public static string Escape(string text) =>
        WebUtility.HtmlEncode(string.Concat(text.Where(c => !char.IsControl(c) || c is '\n' or '\t')))
            .Replace("&#39;", "'", StringComparison.Ordinal);

    private void Finish(string attributes) => _text.Append(attributes.Length > 0 ? " " : "").Append(attributes).Append("/>\n");
}
