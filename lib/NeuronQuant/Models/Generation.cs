using static TorchSharp.torch;

namespace NeuronQuant.Models;

/// <summary>How texts are continued.</summary>
/// <param name="MaximumTokens">New tokens at most.</param>
/// <param name="StopTokens">Tokens that end a text; they are not part of the result.</param>
/// <param name="Temperature">0 takes the likeliest token; above, tokens are drawn from softmax(logits / temperature).</param>
/// <param name="Seed">Of the draws. Each text has its own sequence, so its draws do not depend on its neighbours.</param>
/// <param name="StopWhen">Called with the text's number and its new tokens so far; true ends it, called by several threads. Null for none.</param>
/// <param name="Cache">How keys and values are rounded when they are stored; null for not at all.</param>
public sealed record GenerationOptions(int MaximumTokens = 256, IReadOnlyCollection<int>? StopTokens = null, double Temperature = 0, ulong Seed = 0,
    Func<int, IReadOnlyList<int>, bool>? StopWhen = null, CachePrecision? Cache = null);

/// <summary>Continues prompts of any number and length together: all are read at once, padded at their end, then each step adds a token to each.</summary>
/// <remarks>Rows whose text has ended leave the batch once a quarter has. A text in a batch may differ from the same text alone where two tokens are equally likely to the last bits.</remarks>
public static class Generation
{
    /// <summary>Continues each prompt.</summary>
    /// <param name="model">the model</param>
    /// <param name="prompts">token ids of each prompt, at least one</param>
    /// <param name="options">length, stops and sampling; null for greedy</param>
    /// <param name="batch">texts at a time, at most</param>
    /// <param name="cancellation">checked at each step</param>
    /// <returns>the new tokens of each prompt; a text also ends where the model's context does</returns>
    /// <exception cref="ModelException">a prompt is empty, longer than the context, or not of the vocabulary</exception>
    public static IReadOnlyList<int[]> Run(LlamaModel model, IReadOnlyList<int[]> prompts, GenerationOptions? options = null, int batch = 256,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(prompts);
        options ??= new GenerationOptions();
        var results = new int[prompts.Count][];
        // Parts of one size, and of a small model at least two, which then go side by side.
        int parts = Math.Max((prompts.Count + batch - 1) / batch, model.Config.HiddenSize < Torch.Small ? 2 : 1), size = Math.Max(1, (prompts.Count + parts - 1) / parts);
        Torch.ForEach(model.Config.HiddenSize, [.. Enumerable.Range(0, prompts.Count).OrderBy(i => prompts[i].Length).Chunk(size)], some =>
        {
            Text[] texts = [.. some.Select(i => new Text(i, prompts[i], new RandomNumbers(options.Seed + (ulong)i)))];
            Torch.Run(() => Continue(model, texts, options, cancellation));
            foreach (var text in texts) results[text.Index] = [.. text.Made];
        }, cancellation);
        return results;
    }

    private static void Continue(LlamaModel model, Text[] texts, GenerationOptions options, CancellationToken cancellation)
    {
        int context = model.Config.MaxPositionEmbeddings, longest = texts.Max(text => text.Prompt.Length);
        if (texts.FirstOrDefault(text => text.Prompt.Length == 0 || text.Prompt.Length > context) is { } wrong)
            throw new ModelException("prompt", $"has {wrong.Prompt.Length} tokens, expected 1 to {context}, the model's context: shorten it.");
        int capacity = Math.Min(context, longest + options.MaximumTokens);
        using var cache = new KeyValueCache(model, texts.Length, capacity, options.Cache);
        var last = Prefill(model, texts, cache);
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            bool[] going = Take(texts, last, options, capacity);
            int left = going.Count(go => go);
            if (left == 0) return;
            if (left <= texts.Length * 3 / 4 || left < texts.Length && texts.Any(text => text.Length >= capacity))
            {
                int[] kept = [.. Enumerable.Range(0, texts.Length).Where(i => going[i])];
                cache.Keep(kept);
                texts = [.. kept.Select(i => texts[i])];
            }
            using var scope = NewDisposeScope();
            var hidden = model.Through(model.Embed([.. texts.Select(text => text.Next)]).unsqueeze(1), cache.Step(), cache);
            for (int i = 0; i < texts.Length; i++) cache.Lengths[i] = Math.Min(cache.Lengths[i] + 1, capacity - 1);
            last.Dispose();
            last = model.LogitsOf(hidden.squeeze(1)).MoveToOuterDisposeScope();
        }
    }

    private static Tensor Prefill(LlamaModel model, Text[] texts, KeyValueCache cache)
    {
        using var scope = NewDisposeScope();
        var batch = TokenBatch.Of([.. texts.Select(text => text.Prompt)]);
        var hidden = model.Through(model.Embed(batch.Tokens).view(batch.Sequences, batch.Length, -1), Positions.Of(model.Rotary, batch.Length, model.Place), cache);
        for (int i = 0; i < texts.Length; i++) cache.Lengths[i] = texts[i].Prompt.Length;
        var ends = tensor([.. texts.Select((text, i) => (long)i * batch.Length + text.Prompt.Length - 1)]).to(model.Place.Device);
        return model.LogitsOf(hidden.view(batch.Rows, -1).index_select(0, ends)).MoveToOuterDisposeScope();
    }

    // Which texts go on, each with its next token.
    private static bool[] Take(Text[] texts, Tensor logits, GenerationOptions options, int capacity)
    {
        using var scope = NewDisposeScope();
        long[] likeliest = options.Temperature > 0 ? [] : logits.argmax(-1).cpu().data<long>().ToArray();
        float[] all = options.Temperature > 0 ? logits.ToFloats() : [];
        int vocabulary = (int)logits.shape[1];
        return [.. texts.Select((text, i) => !text.Ended && text.Take(
            options.Temperature > 0 ? Draw(all.AsSpan(i * vocabulary, vocabulary), options.Temperature, text.Random) : (int)likeliest[i], options, capacity))];
    }

    private static int Draw(ReadOnlySpan<float> logits, double temperature, RandomNumbers random)
    {
        double largest = System.Numerics.Tensors.TensorPrimitives.Max(logits), sum = 0;
        foreach (float logit in logits) sum += Math.Exp((logit - largest) / temperature);
        double left = random.Uniform() * sum;
        for (int i = 0; i < logits.Length; i++)
            if ((left -= Math.Exp((logits[i] - largest) / temperature)) < 0) return i;
        return logits.IndexOf((float)largest);
    }

    private sealed class Text(int index, int[] prompt, RandomNumbers random)
    {
        public int Index => index;

        public int[] Prompt => prompt;

        public RandomNumbers Random => random;

        public List<int> Made { get; } = [];

        public bool Ended { get; private set; }

        public int Length => prompt.Length + Made.Count;

        public int Next => Made.Count > 0 ? Made[^1] : prompt[^1];

        // Adds the next token; false when the text has ended.
        public bool Take(int token, GenerationOptions options, int capacity)
        {
            bool stops = Made.Count >= options.MaximumTokens || options.StopTokens?.Contains(token) == true;
            if (!stops) Made.Add(token);
            Ended = stops || Made.Count >= options.MaximumTokens || Length > capacity || options.StopWhen?.Invoke(index, Made) == true;
            return !Ended;
        }
    }
}
