namespace NeuronQuant.Display;

/// <summary>The colours of every chart.</summary>
/// <remarks>
/// Series use the colours of Okabe and Ito (2008), which stay apart under the common colour-vision deficiencies, with yellow left out because it
/// does not show on white. Values of one sign go from pale to dark along one path, so that they still order correctly in grey print; values of
/// both signs go from blue through white to red, white at zero.
/// </remarks>
internal static class Palette
{
    public const string Background = "#ffffff", Ink = "#222222", Muted = "#5f6670", Grid = "#e4e7eb", Axis = "#9aa1a9", Missing = "#c9c9c9";

    private static readonly int[] Sequence = [0xfff8dc, 0xc7e6bf, 0x6fc3bd, 0x2c8fbd, 0x1f5a9c, 0x0c1f4f];
    private static readonly int[] Divergence = [0x2166ac, 0x92c5de, 0xf7f7f7, 0xf4a582, 0xb2182b];

    /// <summary>The colours of the series, in order; after seven they repeat.</summary>
    public static string[] AllSeries { get; } = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444"];

    /// <summary>plotly.js's colour scale for values of one sign.</summary>
    public static object[][] SequentialScale { get; } = Scale(Sequence);

    /// <summary>plotly.js's colour scale for values of both signs.</summary>
    public static object[][] DivergingScale { get; } = Scale(Divergence);

    /// <summary>The colour of the series with this number.</summary>
    public static string Series(int index) => AllSeries[index % AllSeries.Length];

    /// <summary>The colour at a fraction from 0 to 1.</summary>
    public static string Shade(double fraction, bool diverging)
    {
        int[] stops = diverging ? Divergence : Sequence;
        double place = Math.Clamp(fraction, 0, 1) * (stops.Length - 1);
        int below = Math.Min((int)place, stops.Length - 2);
        int Channel(int shift) => (int)Math.Round(((stops[below] >> shift) & 255) + ((((stops[below + 1] >> shift) & 255) - ((stops[below] >> shift) & 255)) * (place - below)), MidpointRounding.AwayFromZero);
        return $"#{Channel(16):x2}{Channel(8):x2}{Channel(0):x2}";
    }

    /// <summary>The ink that can be read on that colour.</summary>
    public static string InkOn(double fraction, bool diverging) => (diverging ? Math.Abs(fraction - 0.5) > 0.35 : fraction > 0.5) ? "#ffffff" : Ink;

    private static object[][] Scale(int[] stops) => [.. stops.Select((colour, i) => new object[] { (double)i / (stops.Length - 1), $"#{colour:x6}" })];
}
