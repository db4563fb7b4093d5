namespace NeuronQuant.Quantization;

/// <summary>How many weights share one scale.</summary>
public enum Granularity
{
    /// <summary>One scale for each output channel, that is for each row of a weight [out, in].</summary>
    PerChannelSymmetric,

    /// <summary>One scale for the whole weight.</summary>
    PerTensorSymmetric,
}

/// <summary>NxDI's spelling of a granularity (<c>quantization_type</c>).</summary>
public static class GranularityNames
{
    /// <summary>The literal of NxDI's <c>quantization_type</c>.</summary>
    public static string NxdiName(this Granularity granularity) =>
        granularity == Granularity.PerChannelSymmetric ? "per_channel_symmetric" : "per_tensor_symmetric";

    /// <summary>Reads NxDI's spelling.</summary>
    /// <exception cref="ArgumentException">the name is another</exception>
    public static Granularity Parse(string name) => name switch
    {
        "per_channel_symmetric" => Granularity.PerChannelSymmetric,
        "per_tensor_symmetric" => Granularity.PerTensorSymmetric,
        _ => throw new ArgumentException(
            $"'{name}' is not a quantization_type that this library writes. Use per_channel_symmetric or per_tensor_symmetric.", nameof(name)),
    };
}
