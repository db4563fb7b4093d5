namespace NeuronQuant.Display;

/// <summary>Decides how category labels fit below an axis: level, slanted, or only every so many of them.</summary>
/// <param name="Texts">The labels, cut to a readable length.</param>
/// <param name="Every">One label is written for so many categories.</param>
/// <param name="IsSlanted">Whether they are turned by 40 degrees.</param>
/// <param name="Height">Pixels that they need below the axis.</param>
/// <param name="Overhang">Pixels that the first one needs to the left of its category.</param>
/// <remarks>Short labels such as layer numbers are thinned, since the reader can count on; names are slanted, since the reader cannot.</remarks>
internal sealed record CategoryLabels(string[] Texts, int Every, bool IsSlanted, double Height, double Overhang)
{
    private const double FontSize = 12;
    private const double SlantedPitch = 13;
    private const double Slant = 40 * Math.PI / 180;

    /// <summary>Fits the labels into slots of this width.</summary>
    public static CategoryLabels Fit(IReadOnlyList<string> labels, double slot)
    {
        string[] texts = [.. labels.Select(label => TextWidth.Cut(label.Trim(), FontSize, 170))];
        var longest = texts.Length == 0 ? 0 : texts.Max(text => TextWidth.Of(text, FontSize));
        if (longest + 6 <= slot) return new CategoryLabels(texts, 1, false, 18, 0);
        if (texts.All(text => text.Length <= 4)) return new CategoryLabels(texts, Nice((longest + 8) / slot), false, 18, 0);
        return new CategoryLabels(texts, Nice(SlantedPitch / slot), true, (longest * Math.Sin(Slant)) + 18, longest * Math.Cos(Slant));
    }

    /// <summary>Writes the labels, each centred below (or ending at) its category.</summary>
    public void Write(SvgCanvas canvas, Func<int, double> centre, double y)
    {
        canvas.Open($"text-anchor=\"{(IsSlanted ? "end" : "middle")}\"");
        for (var i = 0; i < Texts.Length; i += Every)
        {
            var (x, top) = (centre(i), y + (IsSlanted ? 11 : 15));
            canvas.Text(x, top, Texts[i], IsSlanted ? $"transform=\"rotate(-40 {Numbers.Coordinate(x)} {Numbers.Coordinate(top)})\"" : "");
        }
        canvas.Close();
    }

    /// <summary>The least easily counted step that is not below this one.</summary>
    public static int Nice(double atLeast) =>
        new[] { 1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 500, 512, 1000 }.FirstOrDefault(step => step >= atLeast, (int)Math.Ceiling(atLeast));
}
