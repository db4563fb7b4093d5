using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace NeuronQuant.Tokenization;

/// <summary>A regular expression of tokenizer.json, matched over code points.</summary>
/// <remarks>
/// The patterns are written for engines that see code points: \p{L} is one letter, whichever plane it is from. .NET's engine sees UTF-16
/// units, where a letter beyond U+FFFF is two surrogates and no letter at all, and would cut such a word elsewhere than the model's training
/// did. So the text is matched in the shape of a shadow of equal meaning: each code point beyond U+FFFF is replaced by one BMP character of
/// the same general category, and the matches are carried back. The patterns in use ask for nothing but categories of such characters; a
/// pattern that names one literally is refused. \s is the same set in both worlds, and \w, \d and case folding differ for a few rare
/// characters only. A possessive quantifier, which .NET does not have, fails to parse and is refused by name.
/// </remarks>
internal sealed class SplitPattern
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20); // For one text; sane patterns need milliseconds a megabyte.

    private readonly Regex _regex;
    private readonly string _file;
    private readonly string _path;

    private SplitPattern(string file, string path, string pattern)
    {
        (_file, _path) = (file, path);
        if (pattern.Any(char.IsSurrogate))
            throw new TokenizerException(TokenizerFailure.Unsupported, file, path, "a pattern that names a character beyond U+FFFF",
                "categories such as \\p{L}", "This library cannot match it as the model's training did.");
        try
        {
            _regex = new Regex(pattern, RegexOptions.CultureInvariant | RegexOptions.Compiled, Patience);
        }
        catch (ArgumentException error)
        {
            throw new TokenizerException(TokenizerFailure.Pattern, file, path, $"{TokenizerException.Quote(pattern)} ({error.Message})",
                "a pattern of .NET's regular expressions", "This library cannot split text as this tokenizer does.", error);
        }
    }

    /// <summary>Reads {"Regex": "..."} or {"String": "..."}.</summary>
    public static SplitPattern Read(JsonComponent parent, string name)
    {
        var child = parent.Child(name);
        string? regex = child.TextOrNull("Regex");
        string? literal = child.TextOrNull("String");
        child.Finish();
        if (regex is null == literal is null) throw child.Wrong("no pattern, or two", "either \"Regex\" or \"String\"");
        return new SplitPattern(child.File, child.Path, regex ?? Regex.Escape(literal!));
    }

    public static SplitPattern Of(JsonComponent owner, string regex) => new(owner.File, owner.Path, regex);

    public string Replace(string text, string with)
    {
        var result = new StringBuilder();
        int end = 0;
        foreach (var (start, length) in Matches(text))
        {
            result.Append(text, end, start - end).Append(with);
            end = start + length;
        }
        return end == 0 ? text : result.Append(text, end, text.Length - end).ToString();
    }

    /// <summary>All matches that are not empty, left to right.</summary>
    public List<(int Start, int Length)> Matches(string text)
    {
        var found = new List<(int, int)>();
        int[]? positions = null;
        string shadow = text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF') ? Shadow(text, out positions) : text;
        try
        {
            foreach (var match in _regex.EnumerateMatches(shadow))
            {
                if (match.Length == 0) continue;
                int start = positions?[match.Index] ?? match.Index;
                int end = positions?[match.Index + match.Length] ?? (match.Index + match.Length);
                found.Add((start, end - start));
            }
        }
        catch (RegexMatchTimeoutException error)
        {
            throw new TokenizerException(TokenizerFailure.Pattern, _file, _path,
                FormattableString.Invariant($"no end after {Patience.TotalSeconds:0} s on a text of {text.Length} characters"),
                "a pattern that is linear in the text", "Give the text in shorter pieces, or check the pattern.", error);
        }
        return found;
    }

    // positions[i] is where the shadow's character i begins in the text; one more entry for the end.
    private static string Shadow(string text, out int[] positions)
    {
        var shadow = new StringBuilder(text.Length);
        var starts = new List<int>(text.Length + 1);
        for (int i = 0; i < text.Length;)
        {
            Rune.DecodeFromUtf16(text.AsSpan(i), out var rune, out int used);
            starts.Add(i);
            shadow.Append(rune.IsBmp ? (char)rune.Value : StandIn(Rune.GetUnicodeCategory(rune)));
            i += used;
        }
        starts.Add(text.Length);
        positions = [.. starts];
        return shadow.ToString();
    }

    // Not ASCII, so that no literal of a pattern can mean it.
    private static char StandIn(UnicodeCategory category) => category switch
    {
        UnicodeCategory.UppercaseLetter => '\u0100',
        UnicodeCategory.LowercaseLetter => '\u0101',
        UnicodeCategory.TitlecaseLetter => '\u01C5',
        UnicodeCategory.ModifierLetter => '\u02B0',
        UnicodeCategory.OtherLetter => '\u4E00',
        UnicodeCategory.NonSpacingMark => '\u0300',
        UnicodeCategory.SpacingCombiningMark => '\u0903',
        UnicodeCategory.EnclosingMark => '\u0488',
        UnicodeCategory.DecimalDigitNumber => '\u0660',
        UnicodeCategory.LetterNumber => '\u2160',
        UnicodeCategory.OtherNumber => '\u00B2',
        UnicodeCategory.OtherPunctuation => '\u00A7',
        UnicodeCategory.DashPunctuation => '\u2010',
        UnicodeCategory.ConnectorPunctuation => '\u203F',
        UnicodeCategory.MathSymbol => '\u00D7',
        UnicodeCategory.CurrencySymbol => '\u00A3',
        UnicodeCategory.ModifierSymbol => '\u02C2',
        UnicodeCategory.OtherSymbol => '\u00A9',
        UnicodeCategory.Format => '\u200E',
        _ => '\uE000', // Private use and unassigned: no planes beyond the first hold separators or quotes.
    };
}
