using System.CommandLine;
using NeuronQuant.Display;
using NeuronQuant.Evaluation;
using NeuronQuant.Methods;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq study cache</c>: how large keys and values are, and what storing them in fp8 does to predictions, by the position in the text: both in e4m3,
/// both in e5m2, keys alone, values alone.
/// </summary>
internal static class StudyCacheCommand
{
    public static Command Create()
    {
        var (options, json) = (new StudyOptions(8, 1024), Arguments.Json());
        var command = new Command("cache", "Measure the range of keys and values, and loss and divergence behind an fp8 cache by position.") { json };
        options.AddTo(command);
        command.SetAction((result, cancellation) => Task.Run(() => Run(options.Read(result), result.GetValue(json), cancellation)));
        return command;
    }

    private static int Run(StudySource source, bool json, CancellationToken cancellation)
    {
        var (model, texts, origin) = source.Open(cancellation);
        var range = CacheRange.Measure(model, texts, cancellation);
        var study = CommandOutput.WithProgress("rounded caches",
            progress => CacheStudy.Measure(model, texts, progress: progress, cancellation: cancellation), cancellation);
        if (json) PrintJson(origin, range, study);
        else Print(origin, range, study);
        return 0;
    }

    private static void Print(string origin, CacheRange range, CacheStudy study)
    {
        long beyond = range.Layers.Sum(layer => layer.KeysBeyond + layer.ValuesBeyond);
        CommandOutput.Note($"texts: {origin}. All of a text comes through the cache; a prompt that is read in one pass has fresh keys and fares "
            + "better.");
        if (beyond > 0)
            CommandOutput.Note($"{beyond} keys and values lie beyond 240. Here they are saturated; a device reads infinity or NaN. "
                + "Fold scales first: nq quantize --method cachescales, or in front of another method, cachescales+gptq.");
        CommandOutput.Show(range.ToDataFrame());
        CommandOutput.Show(study.ToDataFrame());
        CommandOutput.Show(study.ToDivergences());
        CommandOutput.Show(Frames.From("Over all positions (nats per token)", study.Caches.Skip(1), ("cache", cache => cache),
            (new Column("added to the loss", "+0.0000;-0.0000;0.0000"), cache => study.Difference(cache)),
            (new Column("divergence", "0.000e+0"), cache => study.Divergence(cache))));
    }

    private static void PrintJson(string origin, CacheRange range, CacheStudy study) => CommandOutput.Json(new
    {
        texts = origin,
        unit = "nats per token",
        range = range.Layers.Select(layer => new
        {
            layer.Layer,
            largest_key = layer.Keys.Max(head => head.Max()),
            largest_value = layer.Values.Max(),
            keys_above_240 = layer.KeysBeyond,
            values_above_240 = layer.ValuesBeyond,
            of = layer.Count,
        }),
        caches = study.Caches.Select(cache => new
        {
            cache,
            loss_added = study.Difference(cache),
            divergence = study.Divergence(cache),
            positions = study.Of(cache).Select(bucket => new
            {
                bucket.From,
                bucket.Tokens,
                loss = bucket.Nats,
                loss_added = bucket.Difference,
                half_width_95 = bucket.HalfWidth,
                bucket.Divergence,
            }),
        }),
    });
}
