namespace NeuronQuant.Tokenization;

/// <summary>What becomes of a pattern's matches when text is cut at them.</summary>
/// <remarks>
/// Matches and what lies between them alternate. Isolated keeps each part as a piece; Removed drops the matches; MergedWithPrevious and
/// MergedWithNext join a match to its neighbour; Contiguous joins matches that touch. Invert exchanges matches and the rest first.
/// </remarks>
internal static class SplitBehaviour
{
    public const string Known = "Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous";

    public static bool IsKnown(string behaviour) => Known.Split(", ").Contains(behaviour);

    public static IEnumerable<Piece> Cut(Piece piece, List<(int Start, int Length)> matches, string behaviour, bool invert)
    {
        var parts = Parts(piece.Text.Length, matches, invert);
        var ranges = behaviour switch
        {
            "Isolated" => parts.ConvertAll(part => (part.Start, part.End)),
            "Removed" => parts.FindAll(part => !part.IsMatch).ConvertAll(part => (part.Start, part.End)),
            "MergedWithPrevious" => Join(parts, (left, right) => right.IsMatch && !left.IsMatch),
            "MergedWithNext" => Join(parts, (left, right) => left.IsMatch && !right.IsMatch),
            _ => Join(parts, (left, right) => left.IsMatch == right.IsMatch),
        };
        return ranges.Select(range => new Piece(piece.Text[range.Start..range.End], piece.AtStart && range.Start == 0));
    }

    private static List<(int Start, int End, bool IsMatch)> Parts(int length, List<(int Start, int Length)> matches, bool invert)
    {
        var parts = new List<(int, int, bool)>((2 * matches.Count) + 1);
        int end = 0;
        foreach (var (start, size) in matches)
        {
            if (start > end) parts.Add((end, start, invert));
            parts.Add((start, start + size, !invert));
            end = start + size;
        }
        if (end < length) parts.Add((end, length, invert));
        return parts;
    }

    // A part joins the one before when the rule holds for the two neighbours.
    private static List<(int Start, int End)> Join(List<(int Start, int End, bool IsMatch)> parts,
        Func<(int Start, int End, bool IsMatch), (int Start, int End, bool IsMatch), bool> joins)
    {
        var joined = new List<(int Start, int End)>();
        for (int i = 0; i < parts.Count; i++)
        {
            if (i > 0 && joins(parts[i - 1], parts[i])) joined[^1] = (joined[^1].Start, parts[i].End);
            else joined.Add((parts[i].Start, parts[i].End));
        }
        return joined;
    }
}
