namespace NeuronQuant.Display;

/// <summary>The colours of every figure.</summary>
/// <remarks>
/// Series use the eight colours of Okabe and Ito (2008), which stay apart under the common colour-vision deficiencies, with yellow left
/// out because it does not show on white. Heat maps go from pale to dark along one path, so that they still order correctly in grey print.
/// The background is the figure's own: a page with a dark theme must not swallow the axis.
/// </remarks>
internal static class Palette
{
    public const string Background = "#fdfdfd";
    public const string Ink = "#222222";
    public const string Muted = "#5f6670";
    public const string Grid = "#e4e7eb";
    public const string Axis = "#9aa1a9";
    public const string Highlight = "#d55e00";
    public const string Missing = "#c9c9c9";

    private static readonly string[] SeriesColours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444"];
    private static readonly int[] Sequence = [0xfff8dc, 0xc7e6bf, 0x6fc3bd, 0x2c8fbd, 0x1f5a9c, 0x0c1f4f];

    /// <summary>The colour of the series with this number; after seven they repeat, dashed.</summary>
    public static string Series(int index) => SeriesColours[index % SeriesColours.Length];

    /// <summary>The dash pattern that tells the eighth series from the first.</summary>
    public static string Dash(int index) => index < SeriesColours.Length ? "" : " stroke-dasharray=\"6 3\"";

    /// <summary>The colour at a fraction from 0 (pale) to 1 (dark).</summary>
    public static string Sequential(double fraction)
    {
        var place = Math.Clamp(fraction, 0, 1) * (Sequence.Length - 1);
        var below = Math.Min((int)place, Sequence.Length - 2);
        var part = place - below;
        int Channel(int shift)
        {
            var from = (Sequence[below] >> shift) & 255;
            var to = (Sequence[below + 1] >> shift) & 255;
            return (int)Math.Round(from + ((to - from) * part), MidpointRounding.AwayFromZero);
        }
        return $"#{Channel(16):x2}{Channel(8):x2}{Channel(0):x2}";
    }

    /// <summary>The ink that can be read on <see cref="Sequential"/> of this fraction.</summary>
    public static string InkOn(double fraction) => fraction > 0.5 ? "#ffffff" : Ink;
}
