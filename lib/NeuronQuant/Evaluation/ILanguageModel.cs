namespace NeuronQuant.Evaluation;

/// <summary>A model under test: it continues text, and says how likely a given continuation is.</summary>
/// <remarks>
/// Implemented by this library's engine and by <see cref="CompletionsEndpoint"/>. Decoding is greedy: an evaluation compares checkpoints, and
/// chance would be noise on both sides. A prompt that does not fit into the context is an error, never cut in silence: cutting drops the
/// examples that the score depends on.
/// </remarks>
public interface ILanguageModel
{
    /// <summary>Which checkpoint in which format; part of every record of its answers.</summary>
    string Name { get; }

    /// <summary>Tokens that prompt and answer may have together.</summary>
    int MaxContext { get; }

    /// <summary>How many requests it likes to get at once.</summary>
    int PreferredBatch { get; }

    /// <summary>Continues each prompt greedily.</summary>
    /// <param name="prompts">texts, without the tokens that begin a text</param>
    /// <param name="settings">where to stop</param>
    /// <param name="cancellation">stops the work</param>
    /// <returns>one generation for each prompt, in order</returns>
    Task<IReadOnlyList<Generation>> Generate(IReadOnlyList<string> prompts, GenerationSettings settings, CancellationToken cancellation = default);

    /// <summary>The log-likelihood of each continuation after its context; see <see cref="ContinuationSplit"/> for which tokens that is.</summary>
    /// <returns>one for each request, in order</returns>
    Task<IReadOnlyList<Likelihood>> Score(IReadOnlyList<Continuation> requests, CancellationToken cancellation = default);
}

/// <summary>Where a generation stops.</summary>
/// <param name="Stops">texts of which the first to appear ends the answer; it is not part of it</param>
/// <param name="MaxNewTokens">tokens of an answer at most</param>
public sealed record GenerationSettings(IReadOnlyList<string> Stops, int MaxNewTokens)
{
    /// <summary>The text up to the first of the stops.</summary>
    public string Cut(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        int end = Stops.Where(stop => stop.Length > 0).Select(stop => text.IndexOf(stop, StringComparison.Ordinal)).Where(at => at >= 0)
            .DefaultIfEmpty(text.Length).Min();
        return text[..end];
    }
}

/// <summary>An answer.</summary>
/// <param name="Text">the new text</param>
/// <param name="Truncated">whether it ended because it reached the most tokens allowed</param>
public sealed record Generation(string Text, bool Truncated);

/// <summary>A context and a text to score after it.</summary>
/// <param name="Context">what is given</param>
/// <param name="Text">what is scored, with its leading space</param>
public sealed record Continuation(string Context, string Text);

/// <summary>How likely a continuation is.</summary>
/// <param name="LogLikelihood">sum over its tokens, in nats</param>
/// <param name="Tokens">its tokens</param>
/// <param name="IsGreedy">whether each was the most likely one</param>
public sealed record Likelihood(double LogLikelihood, int Tokens, bool IsGreedy);
