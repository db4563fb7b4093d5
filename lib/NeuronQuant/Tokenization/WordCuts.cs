namespace NeuronQuant.Tokenization;

/// <summary>Where a long piece may be cut before merging, without changing its tokens.</summary>
/// <remarks>
/// Llama-2 and Gemma have no pre-tokenizer that cuts at spaces, so a document is one piece, and none of its words would ever be found in the
/// cache. Yet a merge can reach across a place only if its product holds the two characters there side by side. So a piece is cut before "▁"
/// wherever no product of any merge has "▁" after the character before it: the parts then merge as they would in the whole, each on its own.
/// With ignore_merges a whole piece may be a token that no merge makes, and merges of unknown or byte tokens do not spell their characters:
/// such a model is not cut.
/// </remarks>
internal sealed class WordCuts
{
    private const char Mark = '▁';

    private readonly HashSet<char> _joined = []; // Characters that some product has before the mark.
    private readonly bool _cuts;

    /// <summary>The cuts that a model's merges allow.</summary>
    /// <param name="vocabulary">the model's tokens</param>
    /// <param name="merges">left and right of each merge</param>
    /// <param name="unknown">the unknown token, if there is one</param>
    public WordCuts(Vocabulary vocabulary, IEnumerable<(string Left, string Right)> merges, string? unknown)
    {
        _cuts = vocabulary.Ids.ContainsKey(Mark.ToString());
        foreach (var (left, right) in merges)
        {
            if (left == unknown || right == unknown || Decoders.IsByte(left) || Decoders.IsByte(right)) _cuts = false;
            string product = left + right;
            for (int at = 1; at < product.Length; at++)
                if (product[at] == Mark) _joined.Add(product[at - 1]);
        }
    }

    /// <summary>How many characters of the rest of a piece are its next part.</summary>
    public int Next(ReadOnlySpan<char> rest)
    {
        if (!_cuts) return rest.Length;
        for (int at = 1; at < rest.Length; at++)
        {
            int found = rest[at..].IndexOf(Mark);
            if (found < 0) break;
            at += found;
            if (!_joined.Contains(rest[at - 1])) return at;
        }
        return rest.Length;
    }
}
