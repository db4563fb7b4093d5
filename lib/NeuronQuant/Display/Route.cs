using System.Text;

namespace NeuronQuant.Display;

/// <summary>A place on a route: what is there, and what happened on the way to it.</summary>
/// <param name="Name">of the place</param>
/// <param name="Value">what stands there, such as a number as it is stored</param>
/// <param name="Step">what was done on the way from the place before; empty for the first</param>
/// <param name="Rounds">whether that step rounds, so that something is lost</param>
public sealed record Station(string Name, string Value, string Step = "", bool Rounds = false);

/// <summary>A drawing of the way that something takes: boxes from top to bottom, with what is done between them; a step that rounds is red.</summary>
/// <remarks>For what a chart cannot show: an order of operations, with a number that a cell computed at each place.</remarks>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed class Route(string title, params IReadOnlyList<Station> stations)
{
    private const double Wide = 720, Box = 40, Pitch = 80, Left = 24, Middle = 190, BoxWide = 332;
    private const string Loss = "#b2182b";

    /// <summary>The drawing as an img element.</summary>
    public string ToHtml() =>
        $"<img alt=\"{SvgCanvas.Escape(title)}\" style=\"max-width:100%\" src=\"data:image/svg+xml;base64,{Convert.ToBase64String(Encoding.UTF8.GetBytes(ToSvg()))}\"/>";

    /// <summary>A line for each place.</summary>
    public override string ToString() => string.Join('\n', stations.Select(station =>
        $"{(station.Step.Length > 0 ? $"  | {station.Step}{(station.Rounds ? " (rounds)" : "")}\n" : "")}{station.Name}: {station.Value}").Prepend(title));

    /// <summary>The drawing as one SVG element.</summary>
    public string ToSvg()
    {
        var canvas = new SvgCanvas(Wide, 56 + (Pitch * (stations.Count - 1)) + Box + 16, title);
        for (int i = 0; i < stations.Count; i++)
        {
            var (station, y) = (stations[i], 56 + (i * Pitch));
            if (i > 0) Arrow(canvas, station, y);
            canvas.Rect(Left, y, BoxWide, Box, $"rx=\"6\" fill=\"#eef3f8\" stroke=\"{Palette.Axis}\"");
            canvas.Text(Left + 12, y + 25, station.Name, "font-size=\"13\" font-weight=\"600\"");
            canvas.Text(Left + BoxWide + 20, y + 25, station.Value, "font-size=\"13\"");
        }
        return canvas.Finish();
    }

    private static void Arrow(SvgCanvas canvas, Station station, double y)
    {
        string colour = station.Rounds ? Loss : Palette.Muted;
        canvas.Line(Middle, y - Pitch + Box, Middle, y - 6, $"stroke=\"{colour}\" stroke-width=\"2\"");
        canvas.Path($"M{Middle - 5} {y - 8}L{Middle} {y}L{Middle + 5} {y - 8}z", $"fill=\"{colour}\"");
        canvas.Text(Middle + 14, y - 16, station.Step, $"fill=\"{colour}\"{(station.Rounds ? " font-weight=\"600\"" : "")}");
    }
}
