using NeuronQuant.Checkpoints;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>
/// modules_to_not_convert, entry by entry, under both naming schemes (see <see cref="Exclusions"/>), and the forms that fused projections and
/// tied heads ask for. Without a model the entries are matched against a Llama of 100 layers, which shows the same traps.
/// </summary>
/// <remarks>
/// Sources, SDK 2.28: nxd quantization_utils.py:12-32 and quantize.py:121-123 (matching); modeling_llama.py:250-255 (fused qkv, exact text);
/// neuronx-distributed issue 60 (biases).
/// </remarks>
internal static class ConfigExclusions
{
    private const string Option = "modules_to_not_convert";
    private const int GenericLayers = 100;

    public static IEnumerable<ConfigFinding> Check(NeuronConfig config, ModelConfig? model)
    {
        if (!config.Quantized) yield break;
        var entries = config.ModulesToNotConvert;
        IReadOnlyList<ModuleName> modules = model is null ? Generic() : Modules(model);
        foreach (var match in Exclusions.Preview(entries, modules))
            if (Entry(match, entries, modules, model is not null) is { } finding) yield return finding;
        if (model is { TieWordEmbeddings: true } && !entries.Any(entry => "lm_head".Contains(entry, StringComparison.Ordinal)))
            yield return ConfigFinding.Error($"{Option}: lm_head",
                "is tied to the embedding, with which NxDI overwrites it after loading: codes would be replaced by weights.", "Add \"lm_head\".");
        if (model is { HasQueryKeyValueBias: true } && modules.Any(module =>
            module.Type == "self_attn.q_proj" && !entries.Any(entry => Exclusions.MatchesNeuron(entry, module))))
            yield return ConfigFinding.Error($"{Option}: self_attn",
                "q, k and v have biases, and NxD raises NotImplementedError for quantized attention with biases (neuronx-distributed issue 60).",
                "Add \"self_attn\".");
        if (entries.Any(entry => entry.Contains("self_attn", StringComparison.Ordinal))
            && (config.Integer("cp_degree") > 1 || config.Integer("attention_dp_degree") > 1))
            yield return ConfigFinding.Error($"{Option}: self_attn", "with context parallel or attention data parallel the graph names its "
                + "projections cte_qkv_proj and tkg_qkv_proj (attention_base.py:472-487): entries that name qkv_proj no longer match.",
                "Exclude whole layers, \"layers.N.self_attn\", or set both degrees to 1.");
        if (config.FusedQkv)
            foreach (var finding in Fused(entries, modules)) yield return finding;
    }

    private static ConfigFinding? Entry(ExclusionMatch match, IReadOnlyList<string> entries, IReadOnlyList<ModuleName> modules, bool known)
    {
        string option = $"{Option}: {match.Entry}";
        if (match.Entry.Length == 0) return ConfigFinding.Error(option, "an empty entry matches every module: nothing would be quantized.",
            "Remove it.");
        if (match.Entry.StartsWith("model.", StringComparison.Ordinal))
            return ConfigFinding.Error(option,
                "the Neuron graph has no 'model.' prefix: the module stays float in the file and the graph expects codes.",
                $"Write \"{match.Entry[6..]}\".");
        if (match.HuggingFaceMatches.Count + match.NeuronMatches.Count == 0)
            return ConfigFinding.Error(option, known ? "matches no linear module of the model." : "matches no linear module of a Llama.",
                $"Modules are named like {modules[0]} and {modules[^1]}.");
        var torn = match.HuggingFaceMatches.Union(match.NeuronMatches).FirstOrDefault(module =>
            entries.Any(entry => Exclusions.MatchesHuggingFace(entry, module)) != entries.Any(entry => Exclusions.MatchesNeuron(entry, module)));
        if (torn is not null)
            return ConfigFinding.Error(option, $"keeps {torn} under one of its names only; the graph calls it {torn.NeuronName}. File and graph "
                + "disagree: a crash, or codes read as weights.",
                torn.Type.StartsWith("self_attn", StringComparison.Ordinal)
                    ? $"List both \"{torn.Name}\" and \"{torn.NeuronName}\", or the whole \"layers.{torn.Layer}.self_attn\"."
                    : $"Write \"{torn.Name}\".");
        return match.Warning is { } warning ? ConfigFinding.Warning(option, $"{warning[..warning.IndexOf(';', StringComparison.Ordinal)]}.",
            $"Write \"{match.Entry}.\" to mean that layer alone.") : null;
    }

    private static IEnumerable<ConfigFinding> Fused(IReadOnlyList<string> entries, IReadOnlyList<ModuleName> modules) => modules
        .Where(module => module.Type is "self_attn.q_proj" or "self_attn.k_proj" or "self_attn.v_proj"
        && entries.Any(entry => Exclusions.MatchesNeuron(entry, module)))
        .Select(module => $"layers.{module.Layer}.self_attn").Distinct().Where(exact => !entries.Contains(exact))
        .Take(3)
        .Select(exact => ConfigFinding.Error("fused_qkv",
        $"attention of {exact} is excluded, but NxDI fuses its scales unless the list holds exactly that text.",
        $"Add \"{exact}\", with nothing after it."));

    // A config.json alone has no lm_head when it is tied; the graph has one all the same.
    private static IReadOnlyList<ModuleName> Modules(ModelConfig model)
    {
        var modules = QuantizationPlan.LinearModules(model);
        return modules.Any(module => module.Type == "lm_head") ? modules : [.. modules, ModuleName.Parse("lm_head")];
    }

    private static IReadOnlyList<ModuleName> Generic() =>
        [.. Enumerable.Range(0, GenericLayers).SelectMany(layer => ModuleName.LinearTypes.Select(type => new ModuleName(layer, type))),
            ModuleName.Parse("lm_head")];
}
