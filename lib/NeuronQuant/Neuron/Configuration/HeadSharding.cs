using NeuronQuant.Checkpoints;

namespace NeuronQuant.Neuron;

/// <summary>
/// How NxDI spreads attention heads over NeuronCores. Query heads are padded to a multiple of tp; key and value heads are kept when tp
/// divides them, repeated to tp when they divide tp, and otherwise repeated to one for each query head (grouped attention becomes
/// full), which multiplies the cache.
/// </summary>
/// <remarks>Source: nxd-inference modules/attention/gqa.py (SDK 2.28), determine_sharding_strategy and get_shardable_head_counts.</remarks>
/// <param name="TpDegree">NeuronCores that share a layer</param>
/// <param name="QueryHeads">query heads after padding</param>
/// <param name="KeyValueHeads">key and value heads after repetition</param>
/// <param name="IsPadded">whether query heads were added</param>
/// <param name="BecomesFullAttention">whether each query head got its own key and value head</param>
public sealed record HeadSharding(int TpDegree, int QueryHeads, int KeyValueHeads, bool IsPadded, bool BecomesFullAttention)
{
    /// <summary>Spreads a model's heads.</summary>
    public static HeadSharding Of(ModelConfig config, int tpDegree)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(tpDegree, 1);
        int query = (config.HeadCount + tpDegree - 1) / tpDegree * tpDegree, keyValue = config.KeyValueHeadCount;
        if (config.HeadCount == keyValue) return new HeadSharding(tpDegree, query, query, query != config.HeadCount, false);
        bool kept = keyValue % tpDegree == 0, repeated = tpDegree % keyValue == 0;
        return new HeadSharding(tpDegree, query, kept ? keyValue : repeated ? tpDegree : query, query != config.HeadCount, !kept && !repeated);
    }

    /// <summary>Bytes of the cache of one token, over all cores.</summary>
    public long CacheBytesPerToken(ModelConfig config, bool fp8) => 2L * config.LayerCount * KeyValueHeads * config.HeadSize * (fp8 ? 1 : 2);
}
