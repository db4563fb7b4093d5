namespace NeuronQuant.Display;

/// <summary>Estimates how wide a text will be, and cuts it to fit.</summary>
/// <remarks>
/// The font is chosen by the reader's page, so no width is exact. These three classes of letter overestimate a little for the common
/// sans-serif fonts, which only costs a margin; an underestimate would let labels collide.
/// </remarks>
internal static class TextWidth
{
    /// <summary>Pixels.</summary>
    public static double Of(string text, double fontSize) => fontSize * text.Sum(Width);

    /// <summary>The text, or as much of it as fits followed by an ellipsis.</summary>
    public static string Cut(string text, double fontSize, double width)
    {
        if (Of(text, fontSize) <= width) return text;
        var length = text.Length;
        while (length > 1 && Of(text[..length], fontSize) + fontSize > width) length--;
        return text[..length] + "…";
    }

    private static double Width(char letter) => letter switch
    {
        'i' or 'j' or 'l' or 't' or 'f' or 'r' or '.' or ',' or ':' or '\'' or '|' or ' ' or '(' or ')' or '[' or ']' => 0.36,
        'm' or 'w' or 'M' or 'W' or '@' or '%' => 0.92,
        >= 'A' and <= 'Z' => 0.70,
        _ => 0.60,
    };
}
