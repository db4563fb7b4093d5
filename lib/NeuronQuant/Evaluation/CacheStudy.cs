using Microsoft.Data.Analysis;
using NeuronQuant.Display;
using NeuronQuant.Models;
using NeuronQuant.Selection;
using NeuronQuant.Tensors;
using Plotly.NET;
using static TorchSharp.torch;

namespace NeuronQuant.Evaluation;

/// <summary>What a cache does to predictions at some distance from the beginning of a text.</summary>
/// <param name="Cache">the cache's name</param>
/// <param name="From">first position of the bucket</param>
/// <param name="Tokens">tokens predicted there, over all texts</param>
/// <param name="Nats">mean loss, nats per token</param>
/// <param name="Difference">loss less that of the unrounded cache on the same tokens, nats per token</param>
/// <param name="HalfWidth">half of the 95 % interval of the difference</param>
/// <param name="Divergence">mean KL(p || p^) of the predictions, p behind the unrounded cache, nats per token</param>
public sealed record CacheBucket(string Cache, int From, int Tokens, double Nats, double Difference, double HalfWidth, double Divergence)
{
    /// <summary>The positions in words.</summary>
    public string Positions => PositionBuckets.Name(From);
}

/// <summary>Loss by position behind caches that round: does their error grow with the text?</summary>
/// <remarks>
/// Each text is read once for each cache. Every query sees earlier keys and values as stored and its own as computed, which is what decoding token by
/// token gives, in one pass (see <see cref="CachePrecision"/>). So this is the case in which the whole text was generated, or came in through the cache;
/// a prompt that is read at once has fresh keys and fares better.
/// The difference is paired: the same token, once with and once without rounding. Its interval is 1.96 standard errors over tokens, as if they were
/// independent. A difference of losses may fall to either side, and means little where the model never learnt to predict (the questions of the demo task);
/// the divergence is never negative, sees every change, and is what the figure shows. The unrounded row is the model in its own type, float32 unless loaded otherwise, and not bf16.
/// </remarks>
/// <param name="Buckets">each cache and bucket; the unrounded cache first</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record CacheStudy(IReadOnlyList<CacheBucket> Buckets)
{
    /// <summary>Measures a model.</summary>
    /// <param name="model">the model</param>
    /// <param name="texts">token ids of each text, two at least and no longer than the model's context</param>
    /// <param name="caches">null for <see cref="CachePrecision.All"/></param>
    /// <param name="cancellation">checked before each text</param>
    /// <param name="progress">told the texts done and their number, by one thread at a time</param>
    public static CacheStudy Measure(LlamaModel model, IReadOnlyList<int[]> texts, IReadOnlyList<CachePrecision>? caches = null,
        CancellationToken cancellation = default, Action<long, long>? progress = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        TokenBatch.Require(texts);
        if (texts.FirstOrDefault(text => text.Length < 2 || text.Length > model.Config.MaxPositionEmbeddings) is { } wrong)
            throw new EvaluationException(EvaluationFailure.DataInvalid, "cache study", $"a text of {wrong.Length} tokens",
                $"2 to {model.Config.MaxPositionEmbeddings}, the model's context", "Cut or leave out that text.");
        CachePrecision[] all = [new(null, null), .. caches ?? CachePrecision.All];
        var losses = new (float[] Losses, float[] Divergences)[texts.Count][];
        var (gate, done) = (new Lock(), 0);
        Torch.ForEach(model.Config.HiddenSize < Torch.Small, [.. Enumerable.Range(0, texts.Count)], i =>
        {
            losses[i] = Torch.Run(() => OfText(model, texts[i], all));
            lock (gate) progress?.Invoke(++done, texts.Count);
        }, cancellation);
        return new CacheStudy([.. all.SelectMany((cache, c) => losses.SelectMany(text => text[c].Losses
                .Select((loss, t) => new Token(t + 1, loss, text[0].Losses[t], text[c].Divergences[t])))
            .GroupBy(token => PositionBuckets.Of(token.At)).OrderBy(bucket => bucket.Key)
            .Select(bucket => Bucket(cache.Name, bucket.Key, [.. bucket])))]);
    }

    /// <summary>The mean difference of losses over all positions, nats per token.</summary>
    /// <param name="cache">its name</param>
    public double Difference(string cache) => Of(cache).Sum(bucket => bucket.Difference * bucket.Tokens) / Of(cache).Sum(bucket => bucket.Tokens);

    /// <summary>The mean divergence over all positions, nats per token.</summary>
    /// <param name="cache">its name</param>
    public double Divergence(string cache) => Of(cache).Sum(bucket => bucket.Divergence * bucket.Tokens) / Of(cache).Sum(bucket => bucket.Tokens);

    /// <summary>The buckets of a cache.</summary>
    /// <param name="cache">its name</param>
    public IReadOnlyList<CacheBucket> Of(string cache) => Buckets.Where(bucket => bucket.Cache == cache).ToArray() is { Length: > 0 } found ? found
        : throw new ArgumentException($"no cache '{cache}' was measured. There are: {string.Join(", ", Caches)}.", nameof(cache));

    /// <summary>Names of the caches in the order in which they were measured; the unrounded one is first.</summary>
    public IReadOnlyList<string> Caches => [.. Buckets.Select(bucket => bucket.Cache).Distinct()];

    /// <summary>A row for each bucket: loss without rounding, and what each cache adds.</summary>
    public DataFrame ToDataFrame() => Frames.From("Loss by position, and what a rounded cache adds (nats per token)", Of(Caches[0]),
        [("position", bucket => bucket.Positions), ("tokens", bucket => bucket.Tokens), (new Column(Caches[0], "0.0000"), bucket => bucket.Nats),
            .. Caches.Skip(1).Select<string, (Column, Func<CacheBucket, object?>)>(name =>
                (new Column(name, "+0.0000;-0.0000;0.0000"), bucket => Of(name).Single(one => one.From == bucket.From).Difference))]);

    /// <summary>A row for each bucket: how far each cache moves the predictions, nats per token.</summary>
    public DataFrame ToDivergences() => Frames.From("How far a rounded cache moves predictions (divergence, nats per token)", Of(Caches[0]),
        [("position", bucket => bucket.Positions), ("tokens", bucket => bucket.Tokens),
            .. Caches.Skip(1).Select<string, (Column, Func<CacheBucket, object?>)>(name =>
                (new Column(name, "0.000e+0"), bucket => Of(name).Single(one => one.From == bucket.From).Divergence))]);

    /// <summary>How far each cache moves the predictions, over positions.</summary>
    public GenericChart ToChart() => Charts.Together(Caches.Skip(1).Select(name => Charts.Line(name, Of(name).Select(bucket => PositionBuckets.Middle(bucket.From)), Of(name).Select(bucket => bucket.Divergence))))
        .Titled("How far a rounded cache moves predictions").Axes("position in the text (tokens)", "divergence (nats per token)").LogX().LogY();

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The table as text.</summary>
    public override string ToString() => ToDataFrame().ToText();

    private readonly record struct Token(int At, double Loss, double Plain, double Divergence);

    // For each cache -log p of each token after the first, nats, and the divergence from the first cache's prediction.
    private static (float[] Losses, float[] Divergences)[] OfText(LlamaModel model, int[] text, CachePrecision[] caches)
    {
        var next = tensor([.. text.Skip(1).Select(token => (long)token)]).to(model.Place.Device).unsqueeze(1);
        Tensor Logits(CachePrecision cache) => model.LogitsOf(model.Hidden(new TokenBatch(text[..^1], [], 1), simulated: new Simulation(cache)).squeeze(0));
        var plain = Logits(caches[0]);
        return [.. caches.Select((cache, c) =>
        {
            using var scope = NewDisposeScope();
            var logits = c == 0 ? plain : Logits(cache);
            return ((logits.logsumexp(1, keepdim: true) - logits.gather(1, next)).ToFloats(), LogitsDivergence.Each(plain, logits).ToFloats());
        })];
    }

    private static CacheBucket Bucket(string cache, int from, Token[] tokens)
    {
        double[] differences = [.. tokens.Select(token => token.Loss - token.Plain)];
        double mean = differences.Average(), variance = differences.Sum(d => (d - mean) * (d - mean)) / Math.Max(1, differences.Length - 1);
        return new CacheBucket(cache, from, tokens.Length, tokens.Average(token => token.Loss), mean, 1.96 * Math.Sqrt(variance / differences.Length),
            tokens.Average(token => token.Divergence));
    }
}
