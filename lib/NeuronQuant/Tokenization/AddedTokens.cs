using System.Buffers;
using System.Globalization;
using System.Text;

namespace NeuronQuant.Tokenization;

/// <summary>A token that is found in the text itself, before BPE: &lt;s&gt;, &lt;|im_end|&gt;.</summary>
/// <param name="Id">its id</param>
/// <param name="Content">its text</param>
/// <param name="Special">left out when ids are decoded for a reader</param>
/// <param name="SingleWord">found only where no letter or digit touches it</param>
/// <param name="StripLeft">takes the white space before it along</param>
/// <param name="StripRight">takes the white space after it along</param>
/// <param name="Normalized">looked for in the normalized text, as its own normalized form</param>
public sealed record AddedToken(int Id, string Content, bool Special, bool SingleWord = false, bool StripLeft = false, bool StripRight = false,
    bool Normalized = false)
{
    internal static AddedToken Read(JsonComponent component)
    {
        var token = new AddedToken(component.Number("id"), component.Text("content"), component.Flag("special", false),
            component.Flag("single_word", false), component.Flag("lstrip", false), component.Flag("rstrip", false),
            component.Flag("normalized", true));
        component.Finish();
        return token.Content.Length > 0 ? token : throw component.Wrong("an empty content", "text");
    }
}

/// <summary>Finds added tokens in text: leftmost first, of several at one place the longest.</summary>
/// <remarks>
/// The white space that a token takes along is not taken from the search: a token of spaces there is found as well, as in Hugging Face's
/// tokenizers, and the text after it goes on where that one ends.
/// </remarks>
internal sealed class AddedTokenFinder
{
    private readonly Dictionary<string, AddedToken> _tokens = new(StringComparer.Ordinal);
    private readonly Dictionary<char, int[]> _lengths; // Of the tokens that begin with a character, longest first.
    private readonly SearchValues<char> _starts;

    /// <summary>A finder of these tokens, each written as the pattern says.</summary>
    public AddedTokenFinder(IEnumerable<AddedToken> tokens, Func<string, string> pattern)
    {
        foreach (var token in tokens)
            if (pattern(token.Content) is { Length: > 0 } text) _tokens.TryAdd(text, token);
        _lengths = _tokens.Keys.GroupBy(text => text[0], text => text.Length)
            .ToDictionary(group => group.Key, group => group.Distinct().OrderDescending().ToArray());
        _starts = SearchValues.Create([.. _lengths.Keys]);
    }

    /// <summary>The text as pieces without added tokens and, between them, tokens.</summary>
    public IEnumerable<(Piece Piece, AddedToken? Token)> Split(Piece piece)
    {
        string text = piece.Text;
        int done = 0;
        foreach (var (start, end, token) in Find(text))
        {
            if (start > done) yield return (Part(done, start), null);
            yield return (Part(start, end), token);
            done = end;
        }
        if (done < text.Length) yield return (Part(done, text.Length), null);

        Piece Part(int from, int to) => new(text[from..to], piece.AtStart && from == 0);
    }

    private IEnumerable<(int Start, int End, AddedToken Token)> Find(string text)
    {
        int taken = 0; // Where the token found before ended, with its white space.
        for (int at = Next(text, 0); at >= 0;)
        {
            if (At(text, at) is not var (token, length))
            {
                at = Next(text, at + 1);
                continue;
            }
            int end = at + length;
            if (!token.SingleWord || !TouchesWord(text, at, end))
            {
                int from = token.StripLeft ? Math.Max(taken, at - SpacesBefore(text, at)) : at;
                int to = token.StripRight ? end + SpacesAfter(text, end) : end;
                if (from < to) yield return (from, taken = to, token); // Else the token before took all of it.
            }
            at = Next(text, end);
        }
    }

    private int Next(string text, int from)
    {
        if (from >= text.Length) return -1;
        int offset = text.AsSpan(from).IndexOfAny(_starts);
        return offset < 0 ? -1 : from + offset;
    }

    private (AddedToken Token, int Length)? At(string text, int at)
    {
        var byText = _tokens.GetAlternateLookup<ReadOnlySpan<char>>();
        foreach (int length in _lengths[text[at]])
            if (at + length <= text.Length && byText.TryGetValue(text.AsSpan(at, length), out var token)) return (token, length);
        return null;
    }

    private static bool TouchesWord(string text, int start, int end)
    {
        bool before = start > 0 && Rune.DecodeLastFromUtf16(text.AsSpan(0, start), out var left, out _) == OperationStatus.Done && IsWord(left);
        return before || end < text.Length && Rune.DecodeFromUtf16(text.AsSpan(end), out var right, out _) == OperationStatus.Done && IsWord(right);
    }

    private static bool IsWord(Rune rune) => Rune.IsLetterOrDigit(rune) || Rune.GetUnicodeCategory(rune) is UnicodeCategory.LetterNumber
        or UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark
        or UnicodeCategory.ConnectorPunctuation;

    private static int SpacesBefore(string text, int at) => at - text.AsSpan(0, at).TrimEnd().Length;

    private static int SpacesAfter(string text, int at) => text.Length - at - text.AsSpan(at).TrimStart().Length;
}
