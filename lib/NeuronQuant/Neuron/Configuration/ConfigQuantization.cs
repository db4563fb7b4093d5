using NeuronQuant.Checkpoints;

namespace NeuronQuant.Neuron;

/// <summary>
/// Weights: the options that choose dtype, type and source of the codes. Sources, SDK 2.28: models/config.py:216-226 and :656-663 (asserts),
/// models/model_wrapper.py:148-157 (the compiler flag, tied to the exact text f8e4m3), application_base.py:771-790 (per tensor ignores the list),
/// nxd quantization_config.py:65-120 (spellings), gqa.py:130-150 (a 0-dimensional scale).
/// </summary>
internal static class ConfigQuantization
{
    private static readonly string[] Inert = ["quantized_checkpoints_path", "quantization_dtype", "quantization_type", "modules_to_not_convert"];
    private static readonly string[] Types = ["per_tensor_symmetric", "per_channel_symmetric", "per_key_symmetric", "blockwise_symmetric",
        "expert_wise_per_channel_symmetric"];
    private static readonly string[] Packed = ["f4e2m1fn_x4", "f8e4m3fn_x4", "f8e5m2_x4"];

    public static IEnumerable<ConfigFinding> Check(NeuronConfig config, ModelConfig? model) =>
        config.Quantized ? [.. Dtype(config), .. Type(config, model), .. Rest(config)] : NotQuantized(config);

    private static IEnumerable<ConfigFinding> NotQuantized(NeuronConfig config)
    {
        foreach (string name in Inert.Where(name => config[name] is not null))
            yield return ConfigFinding.Warning(name, "does nothing, because quantized is not true: the model is loaded in bf16.",
                "Set quantized to true, or remove the option.");
    }

    private static IEnumerable<ConfigFinding> Dtype(NeuronConfig config)
    {
        const string option = "quantization_dtype";
        string dtype = config.QuantizationDtype, lower = dtype.ToLowerInvariant();
        if (dtype is "int8" or "f8e4m3" or "f8e5m2") yield break;
        if (lower is "f8e4m3" or "f8e4m3fn")
            yield return ConfigFinding.Error(option,
                $"'{dtype}' is accepted, but the compiler flag for fp8 is added for the exact text f8e4m3 alone: compiling fails with NCC_EVRF051.",
                "Write \"f8e4m3\".");
        else if (lower is "int8" or "f8e5m2")
            yield return ConfigFinding.Warning(option, $"'{dtype}' is accepted only because NxDI looks at it in one place without case.",
                $"Write \"{lower}\".");
        else if (Packed.Contains(lower))
            yield return ConfigFinding.Error(option, $"'{dtype}' is a packed format of newer chips; Inf2 cannot load it.",
                "Use int8, f8e4m3 or f8e5m2.");
        else if (lower.Contains("8", StringComparison.Ordinal) && !lower.Contains("int", StringComparison.Ordinal))
            yield return ConfigFinding.Error(option, $"'{dtype}' is another library's spelling.", lower.Contains("e5m2", StringComparison.Ordinal)
                ? "Write \"f8e5m2\"." : "Write \"f8e4m3\".");
    }

    private static IEnumerable<ConfigFinding> Type(NeuronConfig config, ModelConfig? model)
    {
        const string option = "quantization_type";
        string type = config.QuantizationType;
        if (!Types.Contains(type))
            yield return ConfigFinding.Error(option, $"'{type}' is not a type that NxDI has.", ConfigOptions.Nearest(type, Types) is { } near
                ? $"Did you mean {near}?" : "Use per_channel_symmetric.");
        else if (type is not ("per_tensor_symmetric" or "per_channel_symmetric"))
            yield return ConfigFinding.Error(option,
                $"'{type}' is not written by save_quantized_state_dict (RuntimeError), nor by this library; it serves other chips and models.",
                "Use per_channel_symmetric.");
        if (type != "per_tensor_symmetric") yield break;
        if (config[option] is null)
            yield return ConfigFinding.Warning(option,
                "is left out, and its default is per_tensor_symmetric: one scale for a whole weight, which costs accuracy.",
                "Write \"per_channel_symmetric\".");
        // A folder that this library wrote keeps exactly the listed modules in bf16, per tensor too; only NxDI's own quantization ignores the list.
        bool ours = config.QuantizedCheckpointsPath is { } folder && QuantizationRecord.Read(folder) is { } record
            && record.ModulesToNotConvert.ToHashSet().SetEquals(config.ModulesToNotConvert);
        // A tied head is overwritten by the embedding after loading, whatever NxDI quantized it to; listed, the graph takes it for the bf16 that it
        // is.
        bool head = model is { TieWordEmbeddings: true } && config.ModulesToNotConvert is ["lm_head"];
        if (config.ModulesToNotConvert.Count > 0 && !ours && !head)
            yield return ConfigFinding.Error("modules_to_not_convert",
                "is ignored when NxDI quantizes per tensor, but not when it builds the graph: int8 codes are read as bf16 weights.",
                "Use per_channel_symmetric, or give the folder that nq quantize wrote with this list.");
        if (config.QuantizationDtype.StartsWith("f8", StringComparison.OrdinalIgnoreCase))
            yield return ConfigFinding.Warning(option,
                "save_quantized_state_dict writes a 0-dimensional scale for fp8 per tensor, which the loader takes for one per channel and refuses.",
                "Use per_channel_symmetric; or write the folder with nq quantize, whose scale has the shape [1].");
    }

    private static IEnumerable<ConfigFinding> Rest(NeuronConfig config)
    {
        if (config.QuantizedCheckpointsPath is { Length: 0 })
            yield return ConfigFinding.Error("quantized_checkpoints_path", "is empty; NxDI looks for it when the model is loaded.",
                "Give the folder that nq quantize --layout nxd wrote.");
        if (config.OnCpu)
            yield return ConfigFinding.Error("on_cpu",
                "never swaps in the quantized layers and loads without checking: the result is silently wrong.",
                "Remove on_cpu; verify numbers with fake-quantized weights instead.");
    }
}
