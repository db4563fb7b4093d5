using NeuronQuant.Checkpoints;

namespace NeuronQuant.Neuron;

/// <summary>Lengths and buckets, most of which NxDI asserts (models/config.py:133-139, :186-201), and the attention window of the model.</summary>
internal static class ConfigLengths
{
    public static IEnumerable<ConfigFinding> Check(NeuronConfig config, ModelConfig? model)
    {
        if (config.MaxContextLength > config.MaxLength)
            yield return ConfigFinding.Error("max_context_length", $"is {config.MaxContextLength}, more than max_length, {config.MaxLength}; NxDI asserts the contrary.", "Lower it, or raise seq_len.");
        foreach (var (option, most, of) in new[] { ("context_encoding_buckets", config.MaxContextLength, "max_context_length"), ("token_generation_buckets", config.MaxLength, "max_length") })
        {
            var buckets = config.Integers(option);
            if (buckets.Count > 0 && buckets.Max() > most)
                yield return ConfigFinding.Error(option, $"its largest is {buckets.Max()}, more than {of}, {most}; NxDI asserts the contrary.", $"Let no bucket exceed {most}.");
            if (buckets.Count > 0 && buckets.Max() < most)
                yield return ConfigFinding.Warning(option, $"its largest is {buckets.Max()}, below {of}, {most}: longer sequences have no graph.", $"Add the bucket {most}.");
        }
        if (config.Integers("token_generation_batches") is { Count: > 0 } batches && batches.Max() > (config.Integer("tkg_batch_size") ?? config.BatchSize))
            yield return ConfigFinding.Error("token_generation_batches", $"its largest is {batches.Max()}, more than the batch of token generation; NxDI asserts the contrary.", "Raise batch_size, or drop the bucket.");
        if (config["attention_dtype"] is not null && config.Text("attention_dtype") != (config.Text("torch_dtype") ?? "bfloat16") && config.Text("cast_type") != "as-declared")
            yield return ConfigFinding.Error("attention_dtype", "differs from torch_dtype, which NxDI asserts against unless cast_type is as-declared.", "Set cast_type to \"as-declared\", or drop attention_dtype.");
        if (model is null) yield break;
        if (config.MaxLength > model.MaxPositionEmbeddings)
            yield return ConfigFinding.Warning("max_length", $"is {config.MaxLength}, but the model was trained for {model.MaxPositionEmbeddings} positions.", "Lower seq_len.");
        if (model.SlidingWindow is { } window && window < config.MaxLength)
            yield return ConfigFinding.Warning("sliding_window", $"is {window} in {Path.GetFileName(model.File)} (a Mistral config that leaves the key out means 4096), and NxDI honours it: tokens further back are not seen.",
                "If the model has no window, as Mistral-Nemo, write \"sliding_window\": null into its config.json.");
    }
}
