namespace NeuronQuant.Checkpoints;

/// <summary>Llama 3's rule for stretching the rotary frequencies beyond the length of pretraining.</summary>
/// <param name="Factor">By how much low frequencies are slowed down.</param>
/// <param name="LowFrequencyFactor">Wavelengths above original length / this are fully slowed down.</param>
/// <param name="HighFrequencyFactor">Wavelengths below original length / this are kept; greater than the low factor.</param>
/// <param name="OriginalMaxPositionEmbeddings">Length of pretraining, in tokens.</param>
/// <remarks>In config.json rope_scaling or rope_parameters {"rope_type": "llama3", ...}; see RopeFields for the places and the other types.</remarks>
public sealed record RopeScaling(double Factor, double LowFrequencyFactor, double HighFrequencyFactor, int OriginalMaxPositionEmbeddings)
{
    internal static RopeScaling Read(ConfigFields fields)
    {
        var scaling = new RopeScaling(fields.Positive("factor"), fields.Positive("low_freq_factor"), fields.Positive("high_freq_factor"),
            fields.Count("original_max_position_embeddings"));
        if (scaling.HighFrequencyFactor <= scaling.LowFrequencyFactor)
            throw fields.Value("high_freq_factor", "a factor not above low_freq_factor", "one above it");
        return scaling;
    }
}
