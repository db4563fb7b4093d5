using System.Collections.Concurrent;
using System.Text;
using System.Text.RegularExpressions;

namespace NeuronQuant.Tokenization;

/// <summary>A regular expression of tokenizer.json, matched over code points.</summary>
/// <remarks>
/// The patterns are written for engines that see code points: \p{L} is one letter, whichever plane it is from. .NET's engine sees UTF-16
/// units, where a letter beyond U+FFFF is two surrogates and no letter at all, and would cut such a word elsewhere than the model's training
/// did. So the text is matched in the shape of a shadow of equal meaning: each code point beyond U+FFFF is replaced by one BMP character of
/// the same general category that the pattern does not name (<see cref="StandIns"/>), and the matches are carried back. A pattern that
/// names a character beyond U+FFFF literally is refused. \s is the same set in both worlds, and \w, \d and case folding differ for a few rare
/// characters only. A possessive quantifier, which .NET does not have, fails to parse and is refused by name.
/// </remarks>
internal sealed class SplitPattern
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20); // For one text; sane patterns need milliseconds a megabyte.

    private const int MostCompiled = 64; // Patterns that stay in memory.

    private static readonly ConcurrentDictionary<string, Regex> Compiled = new(StringComparer.Ordinal);

    private readonly Lazy<Regex> _regex;
    private readonly string? _literal; // What the pattern is, when it is plain text.
    private readonly StandIns _standIns;
    private readonly string _file;
    private readonly string _path;

    private SplitPattern(string file, string path, string pattern, string? literal = null)
    {
        (_file, _path, _literal, _standIns) = (file, path, literal, new StandIns(pattern));
        if (pattern.Any(char.IsSurrogate))
            throw new TokenizerException(TokenizerFailure.Unsupported, file, path, "a pattern that names a character beyond U+FFFF",
                "categories such as \\p{L}", "This library cannot match it as the model's training did.");
        try
        {
            _ = new Regex(pattern, RegexOptions.CultureInvariant); // Names an error now; compiling waits for a text.
            _regex = new(() => Compile(pattern));
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
        return new SplitPattern(child.File, child.Path, regex ?? Regex.Escape(literal!), literal);
    }

    public static SplitPattern Of(JsonComponent owner, string regex) => new(owner.File, owner.Path, regex);

    // Compiling takes longer than a short text; a process that loads a model twice, or models of one family, does it once.
    private static Regex Compile(string pattern)
    {
        if (Compiled.Count >= MostCompiled) Compiled.Clear();
        return Compiled.GetOrAdd(pattern, static text => new Regex(text, RegexOptions.CultureInvariant | RegexOptions.Compiled, Patience));
    }

    public string Replace(string text, string with)
    {
        if (_literal is { Length: > 0 }) return text.Replace(_literal, with, StringComparison.Ordinal);
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
        string literal = _literal ?? "";
        if (literal.Length > 0)
        {
            for (int at = Next(0); at >= 0; at = Next(at + literal.Length)) found.Add((at, literal.Length));
            return found;
        }
        int[]? positions = null;
        string shadow = text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF') ? Shadow(text, out positions) : text;
        try
        {
            foreach (var match in _regex.Value.EnumerateMatches(shadow))
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

        int Next(int from) => text.IndexOf(literal, from, StringComparison.Ordinal);
    }

    // positions[i] is where the shadow's character i begins in the text; one more entry for the end.
    private string Shadow(string text, out int[] positions)
    {
        var shadow = new StringBuilder(text.Length);
        var starts = new List<int>(text.Length + 1);
        for (int i = 0; i < text.Length;)
        {
            Rune.DecodeFromUtf16(text.AsSpan(i), out var rune, out int used);
            starts.Add(i);
            shadow.Append(rune.IsBmp ? (char)rune.Value : StandIn(rune));
            i += used;
        }
        starts.Add(text.Length);
        positions = [.. starts];
        return shadow.ToString();
    }

    private char StandIn(Rune rune) => _standIns.Of(Rune.GetUnicodeCategory(rune)) ?? throw new TokenizerException(TokenizerFailure.Unsupported,
        _file, _path, FormattableString.Invariant($"U+{rune.Value:X4} in the text, and ranges that hold all BMP characters of its category"),
        "a pattern that leaves one out", "This library cannot match the pattern on this text: remove the character.");
}
