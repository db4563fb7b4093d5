using static TorchSharp.torch;

namespace NeuronQuant.Tensors;

/// <summary>How a cache stores keys and values: each in a format, or as they are.</summary>
/// <remarks>
/// As NxD Inference does it: keys are cast behind the rotary embedding, without a scale, and read as bf16; the token that is being decoded reads its own
/// key and value as they were computed, and earlier ones from the cache (modules/attention/attention_base.py:536, 1413-1442 of its 2.28). A prompt that
/// is read in one pass attends to fresh keys and values, so the first new token knows nothing of the cache; all later ones do.
/// In NxD Inference 2.28 this is <c>kv_cache_quant=True</c> together with <c>kv_quant_config={}</c>; the first alone changes nothing.
/// </remarks>
/// <param name="Keys">null for as they are</param>
/// <param name="Values">null for as they are</param>
public sealed record CachePrecision(CastFormat? Keys, CastFormat? Values)
{
    /// <summary>What a study compares unless told otherwise: both in each format, then keys and values apart in Neuron's.</summary>
    public static IReadOnlyList<CachePrecision> All { get; } =
        [Both(CastFormat.E4M3), Both(CastFormat.E5M2), new(CastFormat.E4M3, null), new(null, CastFormat.E4M3)];

    /// <summary>Keys and values in one format.</summary>
    public static CachePrecision Both(CastFormat format) => new(format, format);

    /// <summary>"e4m3", or "keys e4m3" where values stay.</summary>
    public string Name => (Keys, Values) switch
    {
        (null, null) => "as computed",
        ({ } keys, null) => $"keys {keys.Name}",
        (null, { } values) => $"values {values.Name}",
        var (keys, values) => keys == values ? keys!.Name : $"keys {keys!.Name}, values {values!.Name}",
    };

    internal Tensor OfKeys(Tensor keys) => Keys?.Round(keys) ?? keys;

    internal Tensor OfValues(Tensor values) => Values?.Round(values) ?? values;
}
