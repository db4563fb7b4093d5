using System.Text.Json;
using System.Text.Json.Nodes;

namespace NeuronQuant.Neuron;

/// <summary>
/// Every refusal of NeuronConfig.__init__ and of the objects that it makes, at SDK 2.28, as a rule with its line: what raises on the host in the
/// first second is said here before there is a host.
/// </summary>
/// <remarks>
/// <para>Lines are of models/config.py at nxd-inference cd3abf3; those of KVQuantizationConfig are of nxd v2.28.0, quantization_config.py, and
/// of LoraServingConfig of modules/lora_serving/config.py, of the same commit. The rules are in the constructor's own order.</para>
/// <para>A configuration that breaks several is told all of them; the class itself stops at the first. What it accepts and later breaks, or
/// silently ignores, is no rule here but a finding of the other files.</para>
/// </remarks>
internal static class ConfigConstructor
{
    private const string Assertion = "AssertionError", Value = "ValueError", Incompatible = "IncompatibleConfigError", Index = "IndexError";
    private const string Batches = "token_generation_batches", Capture = "tensor_capture_config", Chunked = "chunked_prefill_config",
        Dp = "attention_dp_degree";

    private static readonly string[] LoraFields = ["max_loras", "max_lora_rank", "max_cpu_loras", "batch_size", "target_modules", "lora_bias",
        "lora_ckpt_paths", "lora_ckpt_paths_cpu", "lora_ckpt_json",
        "lora_memory_transpose", "lora_shard_linear_layer", "is_context_encoding", "dynamic_multi_lora", "eviction_policy", "lfu_decay_period",
            "base_model_quantized"];

    private static readonly ConstructorRule[] Rules =
    [
        .. new[] { (110, "torch_dtype"), (124, "rpl_reduce_dtype"), (128, "attention_dtype") }.Select(type =>
            new ConstructorRule(type.Item1, Assertion, type.Item2, view => view.IsUnknownDtype(type.Item2),
            view => $"'{view.Dtype(type.Item2)}' is no dtype that it knows.", "Write \"bfloat16\", \"float16\" or \"float32\".")),
        new(120, Value, "cast_type", view => view.Config.Text("cast_type") is { } cast && cast is not ("config" or "as-declared"),
            "is neither config nor as-declared.", "Write \"config\", or leave it out."),
        new(131, Assertion, "attention_dtype", view => view.Dtype("attention_dtype") is { } type && !view.IsUnknownDtype("attention_dtype")
            && type != (view.Dtype("torch_dtype") ?? "bfloat16") && view.Config.Text("cast_type") != "as-declared",
            "differs from torch_dtype while everything is cast to one type.", "Set cast_type to \"as-declared\", or drop attention_dtype."),
        new(139, Assertion, "max_context_length", view => view.Config.MaxContextLength > view.Config.MaxLength,
            view => $"is {view.Config.MaxContextLength}, more than max_length, {view.Config.MaxLength}.", "Lower it, or raise seq_len."),
        .. Buckets(195, "context_encoding_buckets", view => view.Config.MaxContextLength, "max_context_length"),
        .. Buckets(200, "token_generation_buckets", view => view.Config.MaxLength, "max_length"),
        new(209, Index, Batches, view => view.IsEmptyList(Batches), "is an empty list, of which it takes the last.", "Leave it out."),
        new(210, Assertion, Batches, view => view.Batches is { Count: > 0 } batches && batches.Max() > view.TokenBatch,
            view => $"its largest is {view.Batches!.Max()}, more than the batch of token generation, {view.TokenBatch}.",
                "Raise batch_size, or drop the bucket."),
        new(219, Assertion, "quantized_checkpoints_path", view =>
            view.Config.Quantized && view.Config.QuantizedCheckpointsPath is null, "is missing while quantized is true.",
            "Give the folder that nq quantize --layout nxd wrote."),
        new(252, Assertion, "is_full_model_shuffled", view =>
            view.On("is_full_model_shuffled") && !view.On("is_mxfp4_compute")
            && !view.On("is_eagle_draft"), "works with is_mxfp4_compute or an eagle draft alone.", "Remove it on Inf2."),
        new(274, Incompatible, "is_medusa", view => view.On("is_medusa") && view.On("async_mode"), "cannot be combined with async_mode.",
            "Remove one of the two."),
        new(80, Assertion, "kv_quant_config", view => !IsFalse(view.Field("kv_quant_config", "direct_cast"))
                && (view.Field("kv_quant_config", "k_quant_method") ?? view.Field("kv_quant_config", "v_quant_method")) is not null,
            "names a method as text, and a direct cast wants NxD's own per-tensor value for both.",
                "Leave k_quant_method and v_quant_method out: per tensor is the default for both."),
        new(308, Assertion, Chunked, view => view.ChunkedPrefill && !view.On("is_block_kv_layout"), "needs is_block_kv_layout.",
            "Set is_block_kv_layout to true, or remove it."),
        new(313, Assertion, Chunked, view => IsFalse(view.Field(Chunked, "tkg_model_enabled")) && view.Batch != 1,
            "without a token generation model joins all requests to one, so that batch_size must be 1.", "Set batch_size to 1."),
        new(322, Value, "tensor_replacement_config", view =>
            view.Config["tensor_replacement_config"] is JsonObject fields
            && new[] { "ref_dir", "neuron_dir", "tf_map", "neuron_config" }.Any(name => fields[name] is null),
            "lacks one of ref_dir, neuron_dir, tf_map and neuron_config.", "Give all four, or remove it."),
        new(353, Incompatible, Capture, view => view.Config[Capture] is JsonObject && !view.On("output_logits")
            && view.Config["on_device_sampling_config"] is null, "needs on_device_sampling_config.",
            "Add on_device_sampling_config={}, or set output_logits."),
        new(358, "TypeError", "lora_config", view => view.Config["lora_config"] is JsonObject fields
            && fields.Any(field => !LoraFields.Contains(field.Key)),
            view => "has a field that LoraServingConfig does not take: "
                + $"{view.Config["lora_config"]!.AsObject().First(field => !LoraFields.Contains(field.Key)).Key}.",
                $"It takes {string.Join(", ", LoraFields)}."),
        new(358, "FileNotFoundError", "lora_config", view => AbsentAdapter(view) is not null, view =>
            $"names an adapter that is not there: '{AbsentAdapter(view)}'.", "Give paths that exist on the host."),
        new(371, Value, "cp_degree", view => view.Cp > 0 && view.Tp % view.Cp != 0, view =>
            $"is {view.Cp}, which does not divide tp_degree, {view.Tp}.", "Choose a divisor of tp_degree."),
        new(374, Incompatible, "mlp_cp_degree", view =>
            view.Number("mlp_cp_degree", 1) > 1 && !view.On("sequence_parallel_enabled"), "needs sequence_parallel_enabled.",
            "Set sequence_parallel_enabled to true, or remove it."),
        new(423, Assertion, "qkv_cte_nki_kernel_fuse_rope", view =>
            view.On("qkv_cte_nki_kernel_fuse_rope") && !(view.On("qkv_kernel_enabled") && view.On("qkv_nki_kernel_enabled")),
            "needs qkv_kernel_enabled and qkv_nki_kernel_enabled.", "Remove it on Inf2."),
        new(435, Assertion, "activation_quantization_type", view =>
            view.Config.Text("activation_quantization_type") is { } type && type is not ("dynamic" or "static"), view =>
            $"'{view.Config.Text("activation_quantization_type")}' is no type that it knows.", "Write \"dynamic\" or \"static\", in lower case."),
        new(442, Value, "strided_context_parallel_kernel_enabled", view =>
            view.On("strided_context_parallel_kernel_enabled") && view.Cp <= 1, "needs context parallel.", "Set cp_degree above 1, or remove it."),
        new(450, Assertion, "attn_block_tkg_nki_kernel_enabled", view =>
            view.BlockKernel && !view.QkvKernel, "needs qkv_kernel_enabled or qkv_nki_kernel_enabled.", "Remove it on Inf2."),
        new(454, Assertion, "attn_block_cte_nki_kernel_enabled", view =>
            view.On("attn_block_cte_nki_kernel_enabled") && !(view.BlockKernel && view.QkvKernel),
            "needs attn_block_tkg_nki_kernel_enabled and a qkv kernel.", "Remove it on Inf2."),
        new(462, Assertion, "attn_tkg_nki_kernel_enabled", view =>
            view.TokenKernels > 1, "is one of two or three kernels of token generation; one at most may be enabled.",
            "Enable one of attn_tkg_nki_kernel_enabled, attn_tkg_builtin_kernel_enabled, attn_block_tkg_nki_kernel_enabled."),
        .. new[] { (470, "attn_block_tkg_nki_kernel_cache_update"), (472, "attn_block_tkg_nki_kernel_cascaded_attention") }.Select(kernel =>
            new ConstructorRule(kernel.Item1, Assertion, kernel.Item2,
            view => view.On(kernel.Item2) && !view.BlockKernel, "needs attn_block_tkg_nki_kernel_enabled.", "Remove it on Inf2.")),
        new(502, Assertion, "flash_decoding_enabled", view => view.On("flash_decoding_enabled") && view.TokenKernels > 0, "cannot be combined with "
            + "a kernel of token generation.", "Remove one of the two."),
        new(502, Assertion, Chunked, view => view.ChunkedPrefill && view.TokenKernels > 0, "cannot be combined with a kernel of token generation.",
            "Remove one of the two."),
        .. new (string Name, Func<ConstructorView, bool> Set)[] { ("flash_decoding_enabled", view => view.On("flash_decoding_enabled")),
            (Chunked, view => view.ChunkedPrefill), ("is_block_kv_layout", view => view.On("is_block_kv_layout")) }
            .Select(feature => new ConstructorRule(505, Assertion, "k_cache_transposed", view =>
            view.On("k_cache_transposed") && feature.Set(view), $"cannot be combined with {feature.Name}.", "Remove one of the two.")),
        new(508, Assertion, "activation_quantization_type", view =>
            view.Config["activation_quantization_type"] is not null && (view.On("quantized_mlp_kernel_enabled") || view.On("mlp_kernel_enabled")),
            "is refused together with an MLP kernel.", "Remove one of the two."),
        new(513, Assertion, "rmsnorm_quantize_kernel_enabled", view =>
            view.On("rmsnorm_quantize_kernel_enabled") && !view.On("quantized_mlp_kernel_enabled"), "needs quantized_mlp_kernel_enabled.",
            "Remove it on Inf2."),
        new(520, Assertion, "modules_to_not_convert", view =>
            (view.Config.Quantized || view.MlpQuantized) && view.QkvKernel && view.Config.ModulesToNotConvert.Count == 0,
            "must not be empty while a qkv kernel is enabled.", "Give the list, or disable the kernel (it does not run on Inf2 from 2.29 on)."),
        .. new[] { (698, "logical_neuron_cores"), (702, "logical_nc_config"), (586, "scratchpad_page_size") }.Select(number =>
            new ConstructorRule(number.Item1, Value, number.Item2, view =>
            view.IsNoInteger(number.Item2), "is no whole number.", "Give a number, or leave it out.")),
        new(661, Assertion, "quantization_dtype", view =>
            view.Config.Quantized && view.Config.QuantizationDtype.ToLowerInvariant() is not (
            "int8" or "f8e4m3" or "f8e4m3fn" or "f8e5m2" or "f4e2m1fn_x4" or "f8e4m3fn_x4" or "f8e5m2_x4"),
            view => $"'{view.Config.QuantizationDtype}' is no type that it has.", "Use int8, f8e4m3 or f8e5m2."),
        new(667, Value, Dp, view => view.Dp > 0 && view.Tp % view.Dp != 0, view =>
            $"is {view.Dp}, which does not divide tp_degree, {view.Tp}.", "Choose a divisor of tp_degree."),
        new(670, Value, Dp, view => view.Dp > 0 && view.TokenBatch % view.Dp != 0, view =>
            $"is {view.Dp}, which does not divide the batch of token generation, {view.TokenBatch}.", "Choose a divisor of batch_size."),
        new(673, Value, Dp, view => view is { Cp: > 1, Dp: > 1 } && view.Cp < view.Dp, view =>
            $"is {view.Dp}, above cp_degree, {view.Cp}.", "Lower it to cp_degree at most."),
        new(676, Value, Dp, view => view is { Cp: > 1, Dp: > 1 } && view.Cp % view.Dp != 0, view =>
            $"is {view.Dp}, which does not divide cp_degree, {view.Cp}.", "Choose a divisor of cp_degree."),
        new(679, Value, Dp, view => view.Dp > 1 && !view.On("is_continuous_batching"), "needs is_continuous_batching.",
            "Set is_continuous_batching to true, or remove it."),
        // The condition that lifts this refusal asks for a platform above Inf2 and for cascaded attention.
        new(683, Value, Dp, view => view.Dp > 1 && view.On("attn_block_tkg_nki_kernel_cache_update"),
            "cannot be combined with attn_block_tkg_nki_kernel_cache_update on Inf2.", "Remove one of the two."),
        new(686, Value, "ep_dispatch_cc_option", view => view.Config.Text("ep_dispatch_cc_option") == "RS_AG" && view.Tp > view.TokenBatch, view =>
            $"RS_AG needs a batch of at least tp_degree, {view.Tp}; it is {view.TokenBatch}.", "Leave it out, or raise batch_size."),
        .. new (string Feature, Func<ConstructorView, bool> Set)[]
        {
            ("speculation_length", view => view.Number("speculation_length", 0) > 0), ("enable_fused_speculation", view => view.FusedSpeculation),
                ("is_medusa", view => view.On("is_medusa")),
            ("token_tree_config", view => view.Config["token_tree_config"] is not null), (Chunked, view => view.ChunkedPrefill),
                ("is_prefix_caching", view => view.On("is_prefix_caching")), ("is_block_kv_layout", view => view.On("is_block_kv_layout")),
        }.Select(other => new ConstructorRule(650, Value, Batches, view =>
            view.Batches is not null && other.Set(view), $"cannot be combined with {other.Feature}.", "Remove one of the two.")),
    ];

    /// <summary>What the class would refuse.</summary>
    public static IEnumerable<ConfigFinding> Check(NeuronConfig config)
    {
        var view = new ConstructorView(config);
        return Rules.Select(rule => rule.Check(view)).OfType<ConfigFinding>();
    }

    private static ConstructorRule[] Buckets(int line, string option, Func<ConstructorView, int> most, string of) =>
    [
        new(line, Index, option, view => view.IsEmptyList(option), "is an empty list, of which it takes the last.", "Leave it out."),
        new(line, Assertion, option, view => view.Config.Integers(option) is { Count: > 0 } buckets && buckets.Max() > most(view),
            view => $"its largest is {view.Config.Integers(option).Max()}, more than {of}, {most(view)}.", $"Let no bucket exceed {of}."),
    ];

    private static bool IsFalse(JsonNode? value) => value?.GetValueKind() == JsonValueKind.False;

    private static string? AbsentAdapter(ConstructorView view) => view.Field("lora_config", "lora_ckpt_paths") switch
    {
        JsonObject adapters => adapters.Select(adapter => adapter.Value).Select(Path).FirstOrDefault(IsAbsent),
        JsonArray adapters => adapters.Select(Path).Select(path => path?[(path.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim())
            .FirstOrDefault(IsAbsent),
        _ => null,
    };

    private static string? Path(JsonNode? path) => path is JsonValue value && value.TryGetValue(out string? text) ? text : null;

    private static bool IsAbsent(string? path) => path is not null && !File.Exists(path) && !Directory.Exists(path);
}
