using Microsoft.Data.Analysis;
using NeuronQuant.Display;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using Plotly.NET;
using static TorchSharp.torch;

namespace NeuronQuant.Evaluation;

/// <summary>Recall at one distance behind one cache.</summary>
/// <param name="Cache">the cache's name</param>
/// <param name="From">first distance of the bucket, tokens</param>
/// <param name="Right">documents whose whole answer a greedy reader would write</param>
/// <param name="Total">documents</param>
/// <param name="Nats">mean loss on the answers, nats per token</param>
public sealed record RecallBucket(string Cache, int From, int Right, int Total, double Nats)
{
    /// <summary>The distances in words.</summary>
    public string Distances => PositionBuckets.Name(From);

    /// <summary>Share of right answers.</summary>
    public double Accuracy => Right / (double)Total;
}

/// <summary>Whether a model finds again what it was told, against the distance, behind caches that round.</summary>
/// <remarks>
/// An answer counts when each of its tokens is the likeliest behind the prompt and the answer so far, which is when greedy decoding writes it.
/// Two ways to come to the end of the prompt: read in one pass, as runtimes do with a prompt, which leaves the first token of the answer untouched by
/// the cache; or through the cache, as a conversation that was generated, or a prompt that is read in pieces. The second is the hard one and the
/// default.
/// </remarks>
/// <param name="Buckets">each cache and bucket of distances; the unrounded cache first</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record CacheRecall(IReadOnlyList<RecallBucket> Buckets)
{
    /// <summary>Measures a model.</summary>
    /// <param name="model">the model</param>
    /// <param name="documents">tokens that end in an answer, its length, and how far back the fact stands</param>
    /// <param name="caches">null for <see cref="CachePrecision.All"/></param>
    /// <param name="promptInOnePass">whether the prompt attends to fresh keys and values</param>
    /// <param name="cancellation">checked before each document</param>
    public static CacheRecall Measure(LlamaModel model, IReadOnlyList<RecallDocument> documents, IReadOnlyList<CachePrecision>? caches = null,
        bool promptInOnePass = false, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(documents);
        if (documents.FirstOrDefault(one => one.AnswerLength < 1 || one.AnswerLength >= one.Ids.Length || one.Ids.Length > model.Config.MaxPositionEmbeddings) is { } wrong)
            throw new EvaluationException(EvaluationFailure.DataInvalid, "recall", $"{wrong.Ids.Length} tokens with an answer of {wrong.AnswerLength}",
                $"a prompt and an answer of a token or more, within {model.Config.MaxPositionEmbeddings}", "Shorten the document, or give it an answer.");
        CachePrecision[] all = [new(null, null), .. caches ?? CachePrecision.All];
        var found = new (bool Right, double Nats)[documents.Count][];
        Torch.ForEach(model.Config.HiddenSize < Torch.Small, [.. Enumerable.Range(0, documents.Count)],
            i => found[i] = [.. all.Select(cache => Read(model, documents[i], cache, promptInOnePass))], cancellation);
        return new CacheRecall([.. all.SelectMany((cache, c) => Enumerable.Range(0, documents.Count).GroupBy(i => PositionBuckets.Of(documents[i].Distance))
            .OrderBy(bucket => bucket.Key).Select(bucket => new RecallBucket(cache.Name, bucket.Key, bucket.Count(i => found[i][c].Right), bucket.Count(),
                bucket.Sum(i => found[i][c].Nats) / bucket.Sum(i => documents[i].AnswerLength))))]);
    }

    /// <summary>The buckets of a cache.</summary>
    /// <param name="cache">its name</param>
    public IReadOnlyList<RecallBucket> Of(string cache) => Buckets.Where(bucket => bucket.Cache == cache).ToArray() is { Length: > 0 } found ? found
        : throw new ArgumentException($"no cache '{cache}' was measured. There are: {string.Join(", ", Names)}.", nameof(cache));

    /// <summary>A row for each bucket: right answers behind each cache.</summary>
    public DataFrame ToDataFrame() => Frames.From("Right answers by distance, %", Of(Names[0]),
        [("distance, tokens", bucket => bucket.Distances), ("documents", bucket => bucket.Total),
            .. Names.Select<string, (Column, Func<RecallBucket, object?>)>(name =>
                (new Column(name, "0.0"), bucket => 100 * Of(name).Single(one => one.From == bucket.From).Accuracy))]);

    /// <summary>Right answers over the distance, a line for each cache.</summary>
    public GenericChart ToChart() => Charts.Together(Names.Select(name => Charts.Line(name, Of(name).Select(bucket => PositionBuckets.Middle(bucket.From)),
            Of(name).Select(bucket => 100 * bucket.Accuracy))))
        .Titled("Facts found again").Axes("distance of the fact (tokens)", "right answers (%)").LogX().RangeY(0, 100);

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The table as text.</summary>
    public override string ToString() => ToDataFrame().ToText();

    private string[] Names => [.. Buckets.Select(bucket => bucket.Cache).Distinct()];

    private static (bool, double) Read(LlamaModel model, RecallDocument document, CachePrecision cache, bool promptInOnePass) => Torch.Run(() =>
    {
        int read = document.Ids.Length - 1, answer = document.AnswerLength, given = document.Ids.Length - answer;
        var fresh = promptInOnePass ? Torch.Count(read, model.Place.Device).lt(Torch.Whole(given)).view(1, read, 1) : null;
        var hidden = model.Hidden(new TokenBatch(document.Ids[..^1], [], 1), simulated: new Simulation(cache, Fresh: fresh)).squeeze(0);
        var logits = model.LogitsOf(hidden.narrow(0, given - 1, answer));
        var ids = tensor([.. document.Ids.Skip(given).Select(id => (long)id)]).to(model.Place.Device);
        double nats = (logits.logsumexp(1) - logits.gather(1, ids.unsqueeze(1)).squeeze(1)).sum().ToDouble();
        return (logits.argmax(1).eq(ids).all().item<bool>(), nats);
    });
}
