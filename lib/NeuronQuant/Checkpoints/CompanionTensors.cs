namespace NeuronQuant.Checkpoints;

/// <summary>What the tensors beside a quantized weight are called, and what each says of the scheme.</summary>
/// <remarks>
/// Scales whose product with the code is the weight: weight_scale (compressed-tensors, ModelOpt, fbgemm), weight_scale_inv (DeepSeek; despite
/// its name it multiplies), scale (NxD). Scales of activations and of the cache concern the runtime that wrote them, not the weight. The rest
/// marks a scheme that is no such product: AWQ packs integers in its own order, bitsandbytes needs its tables, fp4 two scales. GPTQ's and auto-round's
/// packing is one, where the config says how and the tensors bear it out: see <see cref="PackedTensor"/>, which is asked first.
/// </remarks>
internal static class CompanionTensors
{
    public const string ZeroPoint = "weight_zero_point";

    /// <summary>Names of a scale that multiplies.</summary>
    public static readonly string[] Scales = ["weight_scale", "weight_scale_inv", "scale"];

    private static readonly string[] Activations =
    [
        "input_scale", "input_scale_ub", "input_zero_point", "activation_scale", "output_scale", "output_zero_point", "k_scale", "v_scale", "q_scale",
        "prob_scale", "kv_scale", "kv_cache_scaling_factor", "input_global_scale",
    ];

    private static readonly Dictionary<string, string> Schemes = new(StringComparer.Ordinal)
    {
        ["qweight"] = "GPTQ or AWQ",
        ["qzeros"] = "GPTQ or AWQ",
        ["g_idx"] = "GPTQ",
        ["SCB"] = "bitsandbytes (8 bits)",
        ["weight_format"] = "bitsandbytes (8 bits)",
        ["absmax"] = "bitsandbytes (4 bits)",
        ["quant_map"] = "bitsandbytes (4 bits)",
        ["nested_absmax"] = "bitsandbytes (4 bits)",
        ["nested_quant_map"] = "bitsandbytes (4 bits)",
        ["weight_packed"] = "packed codes (compressed-tensors)",
        ["weight_shape"] = "packed codes (compressed-tensors)",
        ["weight_g_idx"] = "codes in another order (compressed-tensors)",
        ["weight_global_scale"] = "fp4 with two scales",
        ["weight_scale_2"] = "fp4 with two scales",
        ["pre_quant_scale"] = "weights for scaled activations (ModelOpt)",
        ["bitmask"] = "sparse weights (compressed-tensors)",
        ["codebooks"] = "a codebook",
        ["W_q"] = "HQQ",
        ["weight_scales"] = "EETQ",
        ["_data"] = "quanto",
    };

    /// <summary>True for the scale of an activation or of the cache.</summary>
    public static bool IsActivation(string parameter) => Activations.Contains(parameter);

    /// <summary>The scheme, not a product, that a tensor of this name marks; null when it marks none.</summary>
    public static string? Scheme(ModuleName module, string parameter) => Schemes.GetValueOrDefault(parameter)
        ?? (parameter.StartsWith("bitsandbytes__", StringComparison.Ordinal) ? "bitsandbytes (4 bits)" : null)
        ?? (module.Type.EndsWith("_proj.weight", StringComparison.Ordinal) || module.Type == "lm_head.weight" ? "an unknown scheme" : null);
}
