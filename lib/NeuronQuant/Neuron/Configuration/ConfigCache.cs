using System.Text.Json.Nodes;

namespace NeuronQuant.Neuron;

/// <summary>
/// The cache of keys and values. Until SDK 2.27 kv_cache_quant made it fp8; since 2.28 only kv_quant_config does, and kv_cache_quant adds
/// nothing but a compiler flag. The documents still describe the former.
/// </summary>
/// <remarks>
/// Sources: nxd-inference commit cd3abf3, modules/kvcache/kv_cache_manager.py:139-152 and :640-700; model_wrapper.py:153 (the flag);
/// nxd v2.28.0, quantization_config.py:72-80 (the object and its assertion); models/config.py:925-997 (reading it back from JSON).
/// </remarks>
internal static class ConfigCache
{
    private const string Old = "kv_cache_quant", New = "kv_quant_config";

    public static IEnumerable<ConfigFinding> Check(NeuronSetup setup, List<string> notes)
    {
        var config = setup.Config;
        if (!setup.Sdk.CacheReadsKvQuantConfig)
        {
            if (config.HasKvQuantConfig)
                yield return ConfigFinding.Error(New, $"SDK {setup.Sdk} does not know it and ignores it.",
                    "Set kv_cache_quant to true, which is enough until 2.27.");
            yield break;
        }
        if (config.KvCacheQuant && !config.HasKvQuantConfig)
            yield return ConfigFinding.Warning(Old, $"alone no longer changes the cache since SDK 2.28: it stays in bf16 on {setup.Sdk}.",
                "Add kv_quant_config={} beside it, or remove it.");
        if (!config.HasKvQuantConfig) yield break;
        bool flagged = config.KvCacheQuant || (config.Quantized && config.QuantizationDtype == "f8e4m3");
        if (!flagged) yield return ConfigFinding.Error(New,
            "makes the cache fp8, but the compiler flag for fp8 comes with kv_cache_quant: compiling fails with NCC_EVRF051.",
            "Set kv_cache_quant to true as well.");
        foreach (var finding in Fields((JsonObject)config[New]!)) yield return finding;
        notes.Add("kv_quant_config does not survive neuron_config.json: after compiling, load with the same configuration object, "
            + "NeuronLlamaForCausalLM(model_path, config).load(compiled_path), never from the compiled folder alone.");
    }

    private static IEnumerable<ConfigFinding> Fields(JsonObject fields)
    {
        if (fields["quant_dtype"] is not null)
            yield return ConfigFinding.Error($"{New}.quant_dtype", "stays the text that it is; the cache needs a torch.dtype.",
                "Leave it out: torch.float8_e4m3fn is the default.");
        bool direct = fields["direct_cast"] is not JsonValue value || value.GetValueKind() != System.Text.Json.JsonValueKind.False;
        if (!direct)
            yield return ConfigFinding.Warning($"{New}.direct_cast",
                "false asks for scales under the keys kv_mgr.k_scales.N and kv_mgr.v_scales.N, which are undocumented and start as ones.",
                "Leave it out.");
        foreach (string method in new[] { "k_quant_method", "v_quant_method" }.Where(name => !direct && fields[name] is not null))
            yield return ConfigFinding.Error($"{New}.{method}",
                "is given as text, which is not NxD's own value: the cache raises ValueError when it is made (kv_cache_manager.py:660).",
                "Leave it out, or build the object in Python.");
    }
}
