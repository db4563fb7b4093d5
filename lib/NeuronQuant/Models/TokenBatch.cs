namespace NeuronQuant.Models;

/// <summary>Sequences of tokens, padded at their end to one length, and what should follow each token.</summary>
/// <remarks>
/// Row-major: token t of sequence s is at s * Length + t. Padding may be any token of the vocabulary: attention is causal, so nothing
/// real sees it, and its target is <see cref="Ignored"/>.
/// </remarks>
public sealed class TokenBatch
{
    /// <summary>The target of a position that does not count.</summary>
    public const int Ignored = -1;

    /// <summary>A batch with targets of its own.</summary>
    /// <param name="tokens">[sequences, length]</param>
    /// <param name="targets">[sequences, length], or empty when no loss is wanted</param>
    /// <param name="sequences">sequences</param>
    public TokenBatch(int[] tokens, int[] targets, int sequences)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentNullException.ThrowIfNull(targets);
        if (sequences < 1 || tokens.Length == 0 || tokens.Length % sequences != 0 || (targets.Length != 0 && targets.Length != tokens.Length))
            throw new ModelException("batch", $"has {tokens.Length} tokens and {targets.Length} targets for {sequences} sequences; give every sequence "
                + "the same number of tokens, at least one, and every token a target or none any.");
        (Tokens, Targets, Sequences) = (tokens, targets, sequences);
    }

    /// <summary>Token ids: [sequences, length].</summary>
    public int[] Tokens { get; }

    /// <summary>The token that should follow each, or <see cref="Ignored"/>: [sequences, length], or empty.</summary>
    public int[] Targets { get; }

    /// <summary>Sequences.</summary>
    public int Sequences { get; }

    /// <summary>Tokens of each sequence, padding included.</summary>
    public int Length => Tokens.Length / Sequences;

    /// <summary>Rows of the batch: sequences * length.</summary>
    public int Rows => Tokens.Length;

    /// <summary>Positions that have a target.</summary>
    public int Counted => Targets.Length - Targets.Count(target => target == Ignored);

    /// <summary>The first and the second half of the sequences; one batch where there is one sequence.</summary>
    public IEnumerable<TokenBatch> Halves()
    {
        int half = Sequences / 2 * Length;
        if (half == 0) return [this];
        var (first, second) = Targets.Length == 0 ? ([], []) : (Targets[..half], Targets[half..]);
        return [new TokenBatch(Tokens[..half], first, Sequences / 2), new TokenBatch(Tokens[half..], second, Sequences - Sequences / 2)];
    }

    /// <summary>Refuses texts over which no mean can be taken.</summary>
    /// <exception cref="ModelException">there is none, or one is empty</exception>
    internal static void Require(IReadOnlyList<int[]> texts)
    {
        ArgumentNullException.ThrowIfNull(texts);
        if (texts.Count == 0 || texts.Any(text => text.Length == 0))
            throw new ModelException("texts", "are none, or one of them is empty; give at least one text, and each at least one token.");
    }

    /// <summary>Texts of any lengths, whose targets are their own next tokens.</summary>
    /// <param name="texts">token ids of each text</param>
    /// <param name="padding">token that fills the end of shorter texts</param>
    /// <param name="counts">counts(text, i): whether predicting token i of that text is part of the loss; null for all</param>
    public static TokenBatch Of(IReadOnlyList<int[]> texts, int padding = 0, Func<int, int, bool>? counts = null)
    {
        ArgumentNullException.ThrowIfNull(texts);
        int length = texts.Count == 0 ? 0 : texts.Max(text => text.Length);
        int[] tokens = new int[texts.Count * length], targets = new int[tokens.Length];
        Array.Fill(tokens, padding);
        Array.Fill(targets, Ignored);
        for (int s = 0; s < texts.Count; s++)
        {
            texts[s].CopyTo(tokens, s * length);
            for (int t = 1; t < texts[s].Length; t++)
                if (counts is null || counts(s, t)) targets[s * length + t - 1] = texts[s][t];
        }
        return new TokenBatch(tokens, targets, texts.Count);
    }
}
