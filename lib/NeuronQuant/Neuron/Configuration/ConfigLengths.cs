using NeuronQuant.Checkpoints;

namespace NeuronQuant.Neuron;

/// <summary>Lengths that the constructor accepts and a longer text does not survive, and the attention window of the model.</summary>
internal static class ConfigLengths
{
    public static IEnumerable<ConfigFinding> Check(NeuronConfig config, ModelConfig? model)
    {
        foreach (var (option, most, of) in new[] { ("context_encoding_buckets", config.MaxContextLength, "max_context_length"),
            ("token_generation_buckets", config.MaxLength, "max_length") })
        {
            var buckets = config.Integers(option);
            if (buckets.Count > 0 && buckets.Max() < most)
                yield return ConfigFinding.Warning(option, $"its largest is {buckets.Max()}, below {of}, {most}: longer sequences have no graph.",
                    $"Add the bucket {most}.");
        }
        if (model is null) yield break;
        if (config.MaxLength > model.MaxPositionEmbeddings)
            yield return ConfigFinding.Warning("max_length",
                $"is {config.MaxLength}, but the model was trained for {model.MaxPositionEmbeddings} positions.", "Lower seq_len.");
        if (model.SlidingWindow is { } window && window < config.MaxLength)
            yield return ConfigFinding.Warning("sliding_window", $"is {window} in {Path.GetFileName(model.File)} (a Mistral config that leaves the "
                + "key out means 4096), and NxDI honours it: tokens further back are not seen.",
                "If the model has no window, as Mistral-Nemo, write \"sliding_window\": null into its config.json.");
    }
}
