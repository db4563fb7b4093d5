namespace NeuronQuant.Neuron;

/// <summary>
/// Activations and fused projections: options made for Trn2 that a configuration may bring along. Sources: models/config.py:436-448, :542-551,
/// :576-578 (kernels, the second reading of fused_qkv), application_base.py:556-628 (on_cpu).
/// </summary>
internal static class ConfigActivations
{
    public static IEnumerable<ConfigFinding> Check(NeuronConfig config)
    {
        const string activation = "activation_quantization_type", kernel = "quantized_mlp_kernel_enabled";
        if (config.Text(activation) is { } type)
        {
            if (type is not ("dynamic" or "static")) yield return ConfigFinding.Error(activation, $"'{type}' is refused by an assertion.", "Write \"dynamic\" or \"static\", in lower case.");
            yield return ConfigFinding.Warning(activation, "is made for Trn2; on Inf2 fp8 has no faster arithmetic and the path is not validated.", "Remove it: weights alone give the savings on Inf2.");
            if (config.FusedQkv) yield return ConfigFinding.Warning("fused_qkv", $"is read a second time because of {activation} and silently becomes False.", "Remove one of the two.");
            if (config.Flag(kernel) || config.Flag("mlp_kernel_enabled"))
                yield return ConfigFinding.Error(activation, "is refused together with an MLP kernel.", "Remove one of the two.");
        }
        if (config.Flag(kernel))
            yield return ConfigFinding.Error(kernel, "is a kernel of Trn2; it also forces per_channel_symmetric and f8e4m3, whatever was asked for.", "Remove it on Inf2.");
        if (config.Flag("rmsnorm_quantize_kernel_enabled") && !config.Flag(kernel))
            yield return ConfigFinding.Error("rmsnorm_quantize_kernel_enabled", $"needs {kernel}; NxDI asserts it.", "Remove it on Inf2.");
        if (config.OnCpu && config.TpDegree > 1 && config.Text("torch_dtype") is (null or "bfloat16"))
            yield return ConfigFinding.Error("on_cpu", "is not implemented for bf16 with a tp_degree above 1.", "Set tp_degree to 1, or remove on_cpu.");
    }
}
