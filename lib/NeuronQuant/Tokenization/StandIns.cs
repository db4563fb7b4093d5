using System.Globalization;
using System.Text.RegularExpressions;

namespace NeuronQuant.Tokenization;

/// <summary>For one pattern: a BMP character for each general category that stands for the category's characters beyond U+FFFF.</summary>
/// <remarks>
/// A pattern asks for a character by category (\p{L}) or by itself (a letter, a range such as 一-龥). A stand-in must answer both as the
/// character it stands for does: it has its category, and, as a pattern with literals beyond U+FFFF is refused, it must be no literal of the
/// pattern and lie inside no range of it, in neither case. Which two characters a hyphen joins to a range is read from the text without
/// parsing classes: a range too many only rules out some candidates. Where a range leaves no character of a category, text that needs
/// one is refused.
/// </remarks>
internal sealed partial class StandIns
{
    private const char NonJoiner = '\u200C', Joiner = '\u200D'; // Format characters that \w takes for letters.

    // Not ASCII, which patterns name most; private use for what no plane beyond the first has (separators) or nobody assigned.
    private static readonly Lazy<ILookup<UnicodeCategory, char>> Candidates = new(() => Enumerable.Range(0x80, 0x10000 - 0x80)
        .Select(value => (char)value).Where(c => !char.IsSurrogate(c) && !char.IsWhiteSpace(c) && c is not (NonJoiner or Joiner))
        .ToLookup(char.GetUnicodeCategory));

    private readonly Dictionary<UnicodeCategory, char> _chosen = [];
    private readonly List<(char First, char Last)> _literals = [];

    public StandIns(string pattern)
    {
        char[] characters = [.. Character().Matches(pattern).Select(match => Value(match.Value))];
        foreach (char c in characters) _literals.Add((c, c));
        for (int i = 1; i + 1 < characters.Length; i++)
            if (characters[i] == '-' && characters[i - 1] <= characters[i + 1]) _literals.Add((characters[i - 1], characters[i + 1]));
    }

    /// <summary>The category's stand-in; null when the pattern's ranges leave none.</summary>
    public char? Of(UnicodeCategory category)
    {
        lock (_chosen)
        {
            if (_chosen.TryGetValue(category, out char known)) return known;
            foreach (char candidate in Candidates.Value[category])
                if (!IsLiteral(candidate) && IsApart(candidate)) return _chosen[category] = candidate;
            return null;
        }
    }

    // Kelvin's sign is a k when case does not count: other cases must be letters of the same kind, and no literals either.
    private bool IsApart(char candidate)
    {
        char lower = char.ToLowerInvariant(candidate), upper = char.ToUpperInvariant(candidate);
        return !char.IsAscii(lower) && !char.IsAscii(upper) && !IsLiteral(lower) && !IsLiteral(upper);
    }

    private bool IsLiteral(char c) => _literals.Exists(range => range.First <= c && c <= range.Last);

    private static char Value(string written) => written switch
    {
        ['\\', 'u' or 'x', .. { Length: > 0 } digits] => (char)int.Parse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture),
        ['\\', var escaped] => escaped,
        _ => written[0],
    };

    // A character as itself or escaped by its number, or any other escape.
    [GeneratedRegex(@"\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[\s\S]|[\s\S]", RegexOptions.CultureInvariant)]
    private static partial Regex Character();
}
