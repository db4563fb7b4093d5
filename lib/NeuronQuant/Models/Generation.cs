using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Models;

/// <summary>How texts are continued.</summary>
/// <param name="MaximumTokens">New tokens at most.</param>
/// <param name="StopTokens">Tokens that end a text; they are not part of the result.</param>
/// <param name="Temperature">0 takes the likeliest token; above, tokens are drawn from softmax(logits / temperature).</param>
/// <param name="Seed">Of the draws. Each text has its own sequence, so its draws do not depend on its neighbours.</param>
/// <param name="StopWhen">Called with the text's number and its new tokens so far; true ends it, called by several threads. Null for none.</param>
/// <param name="Cache">How keys and values are rounded when they are stored; null for not at all.</param>
/// <param name="Drafts">For each prompt how it may go on, such as what another model wrote; null or empty for none. They change how long it takes, not what is written,
/// and are not looked at where tokens are drawn or the cache rounds.</param>
/// <param name="Reads">Told of each draft the text's number, the states behind the last norm from which its tokens would be written, [draft, hidden], and their logits,
/// [draft, vocabulary], by several threads; null for nobody.</param>
public sealed record GenerationOptions(int MaximumTokens = 256, IReadOnlyCollection<int>? StopTokens = null, double Temperature = 0, ulong Seed = 0,
    Func<int, IReadOnlyList<int>, bool>? StopWhen = null, CachePrecision? Cache = null, IReadOnlyList<int[]>? Drafts = null, Action<int, Tensor, Tensor>? Reads = null);

/// <summary>Continues prompts of any number and length together: all are read at once, padded at their end, then each step adds a token to each.</summary>
/// <remarks>
/// What all prompts begin with, such as worked examples, is read once. Rows whose text has ended leave the batch once a quarter has. A draft is read together with its prompt, and the part that the model would have written itself is
/// taken over at once (Leviathan et al., "Fast inference from transformers via speculative decoding", 2023, for greedy decoding). A text in a batch, or behind a
/// draft, may differ from the same text alone where two tokens are equally likely to the last bits.
/// </remarks>
public static class Generation
{
    private const int Together = 2048; // Tokens of prompts that are read at a time.
    private const int WorthSharing = 64; // Tokens: a shorter common beginning costs more to pass on than to read.

    /// <summary>Continues each prompt.</summary>
    /// <param name="model">the model</param>
    /// <param name="prompts">token ids of each prompt, at least one</param>
    /// <param name="options">length, stops and sampling; null for greedy</param>
    /// <param name="batch">texts at a time, at most</param>
    /// <param name="cancellation">checked at each step, and every few thousand tokens of prompts</param>
    /// <returns>the new tokens of each prompt; a text also ends where the model's context does</returns>
    /// <exception cref="ModelException">a prompt is empty, longer than the context, or not of the vocabulary</exception>
    public static IReadOnlyList<int[]> Run(LlamaModel model, IReadOnlyList<int[]> prompts, GenerationOptions? options = null, int batch = 256,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(prompts);
        options ??= new GenerationOptions();
        var drafts = options is { Temperature: 0, Cache: null } ? options.Drafts : null;
        int[] DraftOf(int i) => drafts is null ? [] : drafts[i][..Math.Clamp(model.Config.MaxPositionEmbeddings - prompts[i].Length, 0, drafts[i].Length)];
        Text[] texts = [.. prompts.Select((prompt, i) => new Text(i, prompt, new RandomNumbers(options.Seed + (ulong)i), DraftOf(i)))];
        // Parts of one size, and of a small model at least two, which then go side by side.
        int parts = Math.Max((prompts.Count + batch - 1) / batch, model.Config.HiddenSize < Torch.Small ? 2 : 1), size = Math.Max(1, (prompts.Count + parts - 1) / parts);
        Torch.ForEach(model.Config.HiddenSize < Torch.Small, [.. texts.OrderByDescending(text => text.Read.Length).Chunk(size)],
            some => Torch.Run(() => Continue(model, some, options, cancellation)), cancellation);
        return [.. texts.Select(text => text.Made.ToArray())];
    }

    private static void Continue(LlamaModel model, Text[] texts, GenerationOptions options, CancellationToken cancellation)
    {
        int context = model.Config.MaxPositionEmbeddings, longest = texts.Max(text => text.Read.Length);
        if (texts.FirstOrDefault(text => text.Prompt.Length == 0 || text.Prompt.Length > context) is { } wrong)
            throw new ModelException("prompt", $"has {wrong.Prompt.Length} tokens, expected 1 to {context}, the model's context: shorten it.");
        int capacity = Math.Min(context, longest + options.MaximumTokens);
        using var cache = new KeyValueCache(model, texts.Length, longest, options.Cache);
        var last = Prefill(model, texts, options, capacity, cache, cancellation);
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

    // The logits behind each prompt and what it takes over of its draft, the cache being filled. The longest texts come first, and go through a few thousand
    // tokens at a time: little is padding then, and what a layer makes is still in the processor's caches when the next reads it.
    private static Tensor Prefill(LlamaModel model, Text[] texts, GenerationOptions options, int capacity, KeyValueCache cache, CancellationToken cancellation)
    {
        int shared = options.Cache is null ? CommonBeginning(texts) : 0;
        if (shared >= WorthSharing)
        {
            Torch.Run(() => { model.Through(model.Embed(texts[0].Prompt[..shared]).unsqueeze(0), Positions.Of(model.Rotary, shared, model.Place), cache.Part(0, 1)); });
            cache.Share(shared);
        }
        var ends = new List<Tensor>();
        for (int next = 0; next < texts.Length;)
        {
            cancellation.ThrowIfCancellationRequested();
            var (first, count) = (next, Math.Clamp(Together / (texts[next].Read.Length - cache.Shared), 1, texts.Length - next));
            ends.Add(Torch.Run(() => Read(model, texts[first..(first + count)], options, capacity, cache.Part(first, count))));
            next += count;
        }
        for (int i = 0; i < texts.Length; i++) cache.Lengths[i] = texts[i].Length;
        return model.LogitsOf(cat(ends, 0));
    }

    // With how many tokens all prompts begin, one of each at least left to read.
    private static int CommonBeginning(Text[] texts)
    {
        int common = texts.Length > 1 ? texts.Min(text => text.Prompt.Length) - 1 : 0;
        foreach (var text in texts) common = text.Prompt.AsSpan(0, common).CommonPrefixLength(texts[0].Prompt);
        return common;
    }

    // The hidden states of the last tokens of the prompts and of what they take over, [texts, hidden].
    private static Tensor Read(LlamaModel model, Text[] texts, GenerationOptions options, int capacity, KeyValueCache cache)
    {
        var batch = TokenBatch.Of([.. texts.Select(text => text.Read[cache.Shared..])]);
        var positions = Positions.Of(model.Rotary, batch.Length, model.Place, cache.Shared);
        var hidden = model.Through(model.Embed(batch.Tokens).view(batch.Sequences, batch.Length, -1), positions, cache).view(batch.Rows, -1);
        long[] ends = [.. texts.Select((text, i) => (long)i * batch.Length + text.Length - cache.Shared - 1)];
        for (int i = 0; i < texts.Length; i++)
        {
            if (texts[i].Draft.Length == 0) continue;
            var states = hidden.narrow(0, ends[i], texts[i].Draft.Length);
            var logits = model.LogitsOf(states);
            options.Reads?.Invoke(texts[i].Index, states, logits);
            ends[i] += texts[i].TakeOver(logits.argmax(-1).cpu().data<long>().ToArray(), options, capacity);
        }
        return hidden.index_select(0, tensor(ends).to(model.Place.Device));
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

    private sealed class Text(int index, int[] prompt, RandomNumbers random, int[] draft)
    {
        public int[] Draft => draft;

        public int[] Read { get; } = [.. prompt, .. draft];

        public int Index => index;

        public int[] Prompt => prompt;

        public RandomNumbers Random => random;

        public List<int> Made { get; } = [];

        public bool Ended { get; private set; }

        public int Length => prompt.Length + Made.Count;

        public int Next => Made.Count > 0 ? Made[^1] : prompt[^1];

        // Adds the draft's tokens for as long as they are the likeliest; how many there were.
        public int TakeOver(long[] likeliest, GenerationOptions options, int capacity)
        {
            int taken = 0;
            while (taken < draft.Length && likeliest[taken] == draft[taken] && Take(draft[taken], options, capacity)) taken++;
            return taken;
        }

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
