namespace NeuronQuant.Neuron;

/// <summary>
/// Activations and fused projections: options that the class accepts and whose graph then does something else. Sources, SDK 2.28:
/// models/config.py:433-439
/// (the second reading of fused_qkv), :541-543 (what it forces), modules/attention/gqa.py:918 (scales split by heads), application_base.py:556-628
/// (on_cpu).
/// </summary>
internal static class ConfigActivations
{
    public static IEnumerable<ConfigFinding> Check(NeuronConfig config)
    {
        const string activation = "activation_quantization_type", kernel = "quantized_mlp_kernel_enabled";
        if (config.Text(activation) is not null)
        {
            yield return ConfigFinding.Warning(activation, "is made for Trn2; on Inf2 fp8 has no faster arithmetic and the path is not validated.",
                "Remove it: weights alone give the savings on Inf2.");
            if (config.FusedQkv) yield return ConfigFinding.Warning("fused_qkv",
                $"is read a second time because of {activation} and silently becomes False.", "Remove one of the two.");
            if (config.Quantized && config.QuantizationDtype == "int8")
                yield return ConfigFinding.Error(activation,
                    "makes the class force f8e4m3 and per_channel_symmetric (config.py:541): the int8 codes of the folder would meet an fp8 graph.",
                    "Remove it, or write the folder as f8e4m3.");
        }
        if (config.Flag(kernel))
            yield return ConfigFinding.Error(kernel, "is a kernel of Trn2; it also forces per_channel_symmetric and f8e4m3, whatever was asked for.",
                "Remove it on Inf2.");
        if (config.FusedQkv && config.Quantized && config.QuantizationType == "per_tensor_symmetric")
            yield return ConfigFinding.Error("fused_qkv",
                "joins the three scales of q, k and v, one each, and then splits them by heads (gqa.py:918): a RuntimeError at load.",
                "Use per_channel_symmetric, or remove fused_qkv.");
        if (config.OnCpu && config.TpDegree > 1 && config.Text("torch_dtype") is (null or "bfloat16"))
            yield return ConfigFinding.Error("on_cpu", "is not implemented for bf16 with a tp_degree above 1.",
                "Set tp_degree to 1, or remove on_cpu.");
    }
}
