namespace NeuronQuant.Models;

/// <summary>How likely a model finds given texts: for multiple choice, perplexity and distances between models.</summary>
/// <remarks>
/// One forward pass over the prompt and its continuation together; the head runs on the continuation's positions only. The
/// log-probability of continuation token i is log softmax(logits at the token before it)[token i], in nats. For all logits, as KL
/// divergence needs them, see <see cref="ModelPass.Logits"/>.
/// </remarks>
public static class Scoring
{
    /// <summary>Log-probability of each token of a continuation, given the prompt and the tokens before it.</summary>
    /// <param name="pass">the model's pass, whose buffers are used</param>
    /// <param name="prompt">at least one token</param>
    /// <param name="continuation">tokens to be scored</param>
    /// <returns>[continuation], nats, none above 0</returns>
    /// <exception cref="ModelException">prompt or continuation is empty</exception>
    public static float[] LogProbabilities(ModelPass pass, ReadOnlySpan<int> prompt, ReadOnlySpan<int> continuation)
    {
        ArgumentNullException.ThrowIfNull(pass);
        if (prompt.IsEmpty || continuation.IsEmpty)
            throw new ModelException("scoring", $"{prompt.Length} prompt and {continuation.Length} continuation tokens, expected at least one of each: "
                + "start a bare text with the begin token.");
        int vocabulary = pass.Model.Config.VocabularySize, hidden = pass.Model.Config.HiddenSize;
        if (continuation.IndexOfAnyExceptInRange(0, vocabulary - 1) is int at and >= 0)
            throw new ModelException("scoring", $"token {continuation[at]} is outside of the vocabulary of {vocabulary}. Is the tokenizer of another model?");
        int[] tokens = [.. prompt, .. continuation[..^1]];
        pass.Forward(new TokenBatch(tokens, [], 1));
        var logits = new float[checked(continuation.Length * vocabulary)];
        pass.Model.Head.Forward(pass.Normed.AsSpan((prompt.Length - 1) * hidden, continuation.Length * hidden), logits, continuation.Length);
        var result = new float[continuation.Length];
        for (int i = 0; i < result.Length; i++) result[i] = CrossEntropy.LogProbability(logits.AsSpan(i * vocabulary, vocabulary), continuation[i]);
        return result;
    }

    /// <summary>Mean negative log-likelihood of a text after its first token, nats per token; e to this is the perplexity.</summary>
    /// <param name="pass">the model's pass</param>
    /// <param name="tokens">at least two tokens</param>
    public static double MeanNegativeLogLikelihood(ModelPass pass, ReadOnlySpan<int> tokens)
    {
        if (tokens.Length < 2) throw new ModelException("scoring", $"{tokens.Length} tokens, expected at least two: the first is given, not predicted.");
        double sum = 0;
        foreach (float value in LogProbabilities(pass, tokens[..1], tokens[1..])) sum -= value;
        return sum / (tokens.Length - 1);
    }
}
