namespace NeuronQuant.Checkpoints;

/// <summary>Llama 3's rule for stretching the rotary frequencies beyond the length of pretraining.</summary>
/// <param name="Factor">By how much low frequencies are slowed down.</param>
/// <param name="LowFrequencyFactor">Wavelengths above original length / this are fully slowed down.</param>
/// <param name="HighFrequencyFactor">Wavelengths below original length / this are kept; greater than the low factor.</param>
/// <param name="OriginalMaxPositionEmbeddings">Length of pretraining, in tokens.</param>
/// <remarks>
/// Found in config.json as rope_scaling {"rope_type": "llama3", ...}, or since transformers 5 as rope_parameters, which holds rope_theta too;
/// older files call the type "type". Type "default" means none. Linear, dynamic, yarn and longrope are left out: they would change the
/// forward pass, so they are an error rather than ignored.
/// </remarks>
public sealed record RopeScaling(double Factor, double LowFrequencyFactor, double HighFrequencyFactor, int OriginalMaxPositionEmbeddings)
{
    internal static RopeScaling? Read(ConfigFields? fields)
    {
        string? type = fields?.OptionalText("rope_type") ?? fields?.OptionalText("type");
        if (fields is null || type is "default") return null;
        if (type is null) return fields.Has("factor") ? throw fields.Missing("rope_type") : null;
        if (type != "llama3")
            throw fields.Unsupported("rope_type", CheckpointException.Quote(type), "llama3 or default",
                "This library computes no other rotary embedding: choose another model, or remove the scaling if only short prompts matter.");
        var scaling = new RopeScaling(fields.Positive("factor"), fields.Positive("low_freq_factor"), fields.Positive("high_freq_factor"),
            fields.Count("original_max_position_embeddings"));
        if (scaling.HighFrequencyFactor <= scaling.LowFrequencyFactor)
            throw fields.Value("high_freq_factor", "a factor not above low_freq_factor", "one above it");
        return scaling;
    }
}
