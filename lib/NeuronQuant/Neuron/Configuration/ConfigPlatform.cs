using NeuronQuant.Checkpoints;

namespace NeuronQuant.Neuron;

/// <summary>
/// Release, environment and class. Sources: release notes of NxD Inference 0.9 (Inf2 dropped), inference_demo.py:465-467 at SDK 2.28 (the two
/// variables, set by the command line tool alone), models/mistral/modeling_mistral.py:86,95 at SDK 2.29, which has it first (head size taken as
/// hidden / heads), aws-neuron-sdk issue
/// 1303 (sampling kernels on Inf2).
/// </summary>
internal static class ConfigPlatform
{
    public static IEnumerable<ConfigFinding> Check(NeuronSetup setup, ModelConfig? model) =>
        [.. Release(setup), .. Variables(setup), .. Class(setup, model), .. Sampling(setup)];

    private static IEnumerable<ConfigFinding> Release(NeuronSetup setup)
    {
        if (!setup.Sdk.HasNxdInference)
            yield return ConfigFinding.Error("sdk", $"{setup.Sdk} has no NxD Inference: 2.31 was the last to ship it.", "Use SDK 2.28.1 on Inf2.");
        else if (!setup.Sdk.SupportsInf2 && (setup.Instance is null || setup.Instance.StartsWith("inf2", StringComparison.Ordinal)))
            yield return ConfigFinding.Error("sdk",
                $"NxD Inference of {setup.Sdk} is released for Trn2 and newer; its notes tell users of Inf2 to stay on 2.28.", "Use SDK 2.28.1.");
        if (setup.Config.Integer("logical_nc_config") is > 1)
            yield return ConfigFinding.Error("logical_nc_config", "joins cores of Trn2; on Inf2 it is 1.", "Remove it.");
        if (setup.Config.Text("torch_dtype") is { } dtype
            && dtype.Replace("torch.", "", StringComparison.Ordinal) is not ("bfloat16" or "float16" or "float32"))
            yield return ConfigFinding.Error("torch_dtype", $"'{dtype}' is not a type in which the model can run.", "Write \"bfloat16\".");
    }

    private static IEnumerable<ConfigFinding> Variables(NeuronSetup setup)
    {
        bool weights = setup.Config.Quantized && setup.Config.QuantizationDtype == "f8e4m3";
        foreach (var (name, value) in setup.Config.RequiredEnvironment)
        {
            if (setup.Environment.TryGetValue(name, out string? found) && found == value) continue;
            string message = $"is {(found is null ? "not set" : $"'{found}'")}; with {(weights ? "f8e4m3 weights" : "an fp8 cache")} NxDI's own "
                + $"command line sets it to {value}, and the Python API sets nothing.";
            string remedy = $"Set {name}={value} before Python loads torch_xla.";
            yield return weights ? ConfigFinding.Error(name, message, remedy) : ConfigFinding.Warning(name, message, remedy);
        }
    }

    private static IEnumerable<ConfigFinding> Class(NeuronSetup setup, ModelConfig? model)
    {
        const string option = "model_class", mistral = "NeuronMistralForCausalLM", qwen = "NeuronQwen2ForCausalLM";
        string right = model?.Family == ModelFamily.Qwen2 ? qwen : NeuronSetup.LlamaClass;
        if (setup.ModelClass == right || (model is null && setup.ModelClass == qwen)) yield break;
        if (setup.ModelClass != mistral || model?.Family == ModelFamily.Qwen2)
            yield return ConfigFinding.Error(option,
                $"'{setup.ModelClass}' is not the class of a {model?.Family.ToString() ?? "Llama or Mistral"} model.", $"Use {right}.");
        else if (!setup.Sdk.HasMistralClass)
            yield return ConfigFinding.Error(option, $"{mistral} does not exist in SDK {setup.Sdk}.",
                $"Use {NeuronSetup.LlamaClass}: Mistral is a Llama to NxDI.");
        else if (model is null || model.HeadSize != model.HiddenSize / model.HeadCount)
            yield return ConfigFinding.Error(option, model is null
                ? $"{mistral} takes the head size as hidden / heads, which is wrong for Mistral-Nemo."
                : $"{mistral} takes the head size as hidden / heads = {model.HiddenSize / model.HeadCount}; the model's is {model.HeadSize}.",
                $"Use {NeuronSetup.LlamaClass}.");
    }

    private static IEnumerable<ConfigFinding> Sampling(NeuronSetup setup)
    {
        if (setup.Config["on_device_sampling_config"] is not System.Text.Json.Nodes.JsonObject sampling) yield break;
        bool greedy = (sampling["top_k"]?.ToJsonString() ?? "1") == "1" && (sampling["do_sample"]?.ToJsonString() ?? "false") == "false"
            && (sampling["dynamic"]?.ToJsonString() ?? "false") == "false";
        if (!greedy && setup.Sdk.Version >= new Version(2, 28))
            yield return ConfigFinding.Warning("on_device_sampling_config",
                "sampling kernels fail to compile for Inf2 on some models since 2.28 (NCC_IXCG856, aws-neuron-sdk issue 1303).",
                "Use {\"top_k\": 1, \"do_sample\": false, \"dynamic\": false}, or sample on the host.");
    }
}
