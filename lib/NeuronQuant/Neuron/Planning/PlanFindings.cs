using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>What speaks against a plan: memory of a core, memory of the host, heads that do not divide.</summary>
internal static class PlanFindings
{
    public static IEnumerable<ConfigFinding> Of(InferencePlan plan) => [.. Memory(plan), .. Compiling(plan), .. Sharding(plan)];

    private static IEnumerable<ConfigFinding> Memory(InferencePlan plan)
    {
        var instance = plan.Request.Instance;
        string use = FormattableString.Invariant(
            $"a core needs {plan.CoreWeightsGib:0.0} GiB for weights and {plan.CoreCacheGib:0.0} GiB for the cache, of {instance.GibPerCore:0}");
        if (plan.CoreFreeGib < 0)
            yield return ConfigFinding.Error("tp_degree", $"{use}: it does not fit.",
                "Raise tp_degree, quantize, or ask for a smaller batch or sequence.");
        else if (plan.CoreFreeGib < InferencePlan.ComfortableGib)
            yield return ConfigFinding.Warning("tp_degree",
                FormattableString.Invariant($"{use}; the {plan.CoreFreeGib:0.0} GiB left are tight for code and scratch."),
                "Raise tp_degree, quantize, use an fp8 cache, or ask for a smaller batch or sequence.");
        if (plan.HostGibFromFolder > instance.HostGib)
            yield return ConfigFinding.Error("instance", FormattableString.Invariant(
                $"loading takes up to {plan.HostGibFromFolder:0} GiB of host memory; {instance.Name} has {instance.HostGib:0}, ")
                + "and the process would be killed.",
                "Use inf2.8xlarge or larger.");
        else if (plan.Request.Format != Format.Bf16 && plan.HostGibByNxdi > instance.HostGib)
            yield return ConfigFinding.Warning("instance", FormattableString.Invariant(
                $"save_quantized_state_dict would take {plan.HostGibByNxdi:0} GiB of host memory; {instance.Name} has {instance.HostGib:0}."),
                "Write the folder with nq quantize, which streams, and only load it here.");
    }

    // Compiling needs no device, so that a host that is too small for it may still serve what a larger one compiled.
    private static IEnumerable<ConfigFinding> Compiling(InferencePlan plan)
    {
        var instance = plan.Request.Instance;
        if (plan.HostGibCompiling + InferencePlan.CompilerGib <= instance.HostGib) yield break;
        yield return ConfigFinding.Warning("instance", FormattableString.Invariant(
            $"tracing takes {plan.HostGibCompiling:0} GiB of host memory and the compiler some on top; {instance.Name} has {instance.HostGib:0}: ")
            + "such a compile ends with the one word Killed.",
            "Compile on a larger host, which needs no device: NEURON_PLATFORM_TARGET_OVERRIDE=inf2; then copy the compiled folder.");
    }

    private static IEnumerable<ConfigFinding> Sharding(InferencePlan plan) =>
        Sharding(plan.Heads, plan.Model, plan.Request.Granularity == Granularity.PerTensorSymmetric && plan.Request.Format != Format.Bf16);

    public static IEnumerable<ConfigFinding> Sharding(HeadSharding heads, ModelConfig config, bool perTensor)
    {
        if (heads.BecomesFullAttention)
            yield return ConfigFinding.Warning("tp_degree", FormattableString.Invariant(
                $"{heads.TpDegree} neither divides the {config.KeyValueHeadCount} key/value heads nor is a multiple of them: NxDI ")
                + FormattableString.Invariant($"makes {heads.KeyValueHeads} of them, and the cache ")
                + FormattableString.Invariant($"{(double)heads.KeyValueHeads / config.KeyValueHeadCount:0.#} times as large."),
                Divisors(config));
        else if (heads.IsPadded)
            yield return ConfigFinding.Warning("tp_degree",
                $"{heads.TpDegree} does not divide the {config.HeadCount} query heads: NxDI pads them to {heads.QueryHeads}.", Divisors(config));
        if (!perTensor) yield break;
        if (heads.IsPadded || config.IntermediateSize % heads.TpDegree != 0 || config.VocabularySize % heads.TpDegree != 0)
            yield return ConfigFinding.Error("quantization_type", $"a tp_degree of {heads.TpDegree} pads weights, and a scale per tensor breaks "
                + "under padding (nxd v2.28.0, quantization_layers.py:731-741).",
                "Use per_channel_symmetric, or a tp_degree that divides heads, MLP width and vocabulary.");
    }

    private static string Divisors(ModelConfig config)
    {
        var clean = new[] { 1, 2, 4, 8, 16, 32 }.Where(tp =>
            config.HeadCount % tp == 0 && config.IntermediateSize % tp == 0 && config.VocabularySize % tp == 0
            && !HeadSharding.Of(config, tp).BecomesFullAttention);
        return $"Use a tp_degree of {string.Join(", ", clean)}; the other cores can serve further copies (NEURON_RT_VISIBLE_CORES).";
    }
}
