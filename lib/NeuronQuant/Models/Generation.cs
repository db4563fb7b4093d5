namespace NeuronQuant.Models;

/// <summary>How texts are continued.</summary>
/// <param name="MaximumTokens">New tokens at most.</param>
/// <param name="StopTokens">Tokens that end a text; they are not part of the result.</param>
/// <param name="Temperature">0 takes the likeliest token; above, tokens are drawn from softmax(logits / temperature).</param>
/// <param name="Seed">Of the draws. Each text has its own sequence, so its draws do not depend on its neighbours.</param>
/// <param name="StopWhen">Called with the text's number and its new tokens so far; true ends it. Null for none.</param>
public sealed record GenerationOptions(int MaximumTokens = 256, IReadOnlyCollection<int>? StopTokens = null, double Temperature = 0, ulong Seed = 0,
    Func<int, IReadOnlyList<int>, bool>? StopWhen = null);

/// <summary>Continues prompts of any number and length with a decoder's rows: a row whose text has ended takes the next prompt.</summary>
public static class Generation
{
    /// <summary>Continues each prompt.</summary>
    /// <param name="decoder">its rows are overwritten</param>
    /// <param name="prompts">token ids of each prompt</param>
    /// <param name="options">length, stops and sampling; null for greedy</param>
    /// <param name="cancellation">checked at each step</param>
    /// <returns>the new tokens of each prompt</returns>
    public static IReadOnlyList<int[]> Run(Decoder decoder, IReadOnlyList<int[]> prompts, GenerationOptions? options = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(decoder);
        ArgumentNullException.ThrowIfNull(prompts);
        options ??= new GenerationOptions();
        var texts = new Text?[decoder.Rows];
        var tokens = new int[decoder.Rows];
        var results = prompts.Select(_ => new List<int>()).ToArray();
        for (int next = 0; ;)
        {
            cancellation.ThrowIfCancellationRequested();
            for (int row = 0; row < texts.Length; row++)
                while (texts[row] is null && next < prompts.Count)
                {
                    var text = new Text(next, results[next], new RandomNumbers(options.Seed + (ulong)next), decoder.Capacity - prompts[next].Length);
                    texts[row] = text.Take(decoder.Prefill(row, prompts[next++]), options) ? text : null;
                }
            for (int row = 0; row < texts.Length; row++) tokens[row] = texts[row]?.Tokens[^1] ?? Decoder.Idle;
            if (Array.TrueForAll(texts, text => text is null)) return [.. results.Select(list => list.ToArray())];
            var logits = decoder.Step(tokens);
            int vocabulary = logits.Length / texts.Count(text => text is not null);
            for (int row = 0, i = 0; row < texts.Length; row++)
                if (texts[row] is { } text && !text.Take(logits.Slice(i++ * vocabulary, vocabulary), options)) texts[row] = null;
        }
    }

    /// <summary>The place of the largest logit; the first of several.</summary>
    public static int Likeliest(ReadOnlySpan<float> logits)
    {
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
            if (logits[i] > logits[best]) best = i;
        return best;
    }

    private static int Draw(ReadOnlySpan<float> logits, double temperature, RandomNumbers random)
    {
        double largest = VectorMath.Maximum(logits), sum = 0;
        foreach (float logit in logits) sum += Math.Exp((logit - largest) / temperature);
        double left = random.Uniform() * sum;
        for (int i = 0; i < logits.Length; i++)
            if ((left -= Math.Exp((logits[i] - largest) / temperature)) < 0) return i;
        return Likeliest(logits);
    }

    private sealed record Text(int Index, List<int> Tokens, RandomNumbers Random, int Room)
    {
        // Adds the next token; false when the text has ended.
        public bool Take(ReadOnlySpan<float> logits, GenerationOptions options)
        {
            if (Tokens.Count >= options.MaximumTokens) return false;
            int token = options.Temperature > 0 ? Draw(logits, options.Temperature, Random) : Likeliest(logits);
            if (options.StopTokens?.Contains(token) == true) return false;
            Tokens.Add(token);
            return Tokens.Count < options.MaximumTokens && Tokens.Count <= Room && options.StopWhen?.Invoke(Index, Tokens) != true;
        }
    }
}
