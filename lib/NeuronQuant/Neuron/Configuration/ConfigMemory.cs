using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>Heads and memory: the plan's findings for a configuration. Without an instance only the heads are looked at.</summary>
internal static class ConfigMemory
{
    public static IEnumerable<ConfigFinding> Check(NeuronSetup setup, ModelConfig? model)
    {
        var config = setup.Config;
        if (config.TpDegree < 1) return [];
        var instance = PlanInstance.All.FirstOrDefault(known => known.Name == setup.Instance);
        if (setup.Instance is { } name && instance is null)
            return name.StartsWith("inf2", StringComparison.Ordinal)
                ? [ConfigFinding.Error("instance", $"'{name}' is not an Inf2 instance.",
                $"There are {string.Join(", ", PlanInstance.All.Select(known => known.Name))}.")] : [];
        var findings = new List<ConfigFinding>();
        if (instance is not null && config["tp_degree"] is null)
            findings.Add(ConfigFinding.Warning("tp_degree",
                $"is left out, and its default is 1: one of {instance.Cores} NeuronCores would hold and compute everything.",
                "Write 2, the cores of a chip, or more."));
        if (model is null) return [.. findings, .. Generic(config.TpDegree)];
        if (instance is null)
            return [.. findings, .. PlanFindings.Sharding(HeadSharding.Of(model, config.TpDegree), model,
            config is { Quantized: true, QuantizationType: "per_tensor_symmetric" })];
        try
        {
            return [.. findings, .. InferencePlan.Create(model, Request(setup, instance, model)).Findings];
        }
        catch (NeuronException error)
        {
            return [.. findings, ConfigFinding.Error(error.Where, error.Message[(error.Where.Length + 2)..], "")];
        }
    }

    private static IEnumerable<ConfigFinding> Generic(int tp)
    {
        if ((tp & (tp - 1)) != 0)
            yield return ConfigFinding.Warning("tp_degree",
                $"{tp} is no power of two: with 32 heads NxDI pads them, and may turn grouped attention into full.",
                "Use 2, 4, 8 or 16, or give the model to have its heads counted.");
    }

    // Exclusions that cannot be resolved are findings of their own; the memory is then counted without them. A head may be named, tied or not.
    private static PlanRequest Request(NeuronSetup setup, PlanInstance instance, ModelConfig model)
    {
        var config = setup.Config;
        bool perTensor = config.QuantizationType == "per_tensor_symmetric";
        var format = !config.Quantized ? Format.Bf16 : config.QuantizationDtype switch
        {
            "f8e4m3" => Format.F8E4M3,
            "f8e5m2" => Format.F8E5M2,
            _ => Format.Int8,
        };
        var request = new PlanRequest(instance, config.TpDegree, Math.Max(1, config.BatchSize), Math.Max(1, config.SequenceLength), format,
            perTensor ? Granularity.PerTensorSymmetric : Granularity.PerChannelSymmetric, config.CacheIsFp8(setup.Sdk));
        if (perTensor) return request;
        try
        {
            _ = Exclusions.Resolve([.. config.ModulesToNotConvert.Where(entry => entry != "lm_head")],
                QuantizationPlan.LinearModules(model));
            return request with { Keep = config.ModulesToNotConvert };
        }
        catch (QuantizationException)
        {
            return request;
        }
    }
}
