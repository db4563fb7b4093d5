using System.Collections.Frozen;

namespace NeuronQuant.Neuron;

/// <summary>What an option of NeuronConfig takes.</summary>
internal enum OptionKind
{
    Flag,
    Integer,
    Number,
    Text,
    Texts,
    Integers,
    Object,
    Any,
}

/// <summary>
/// Every option that NeuronConfig reads, by name and by the kind of value it wants. NeuronConfig itself takes any keyword and only logs
/// what it does not know, so that a typing error is silently inert; this list is what makes it an error.
/// </summary>
/// <remarks>
/// Names: nxd-inference models/config.py, SDK 2.28 (commit cd3abf3), every keyword that NeuronConfig.__init__ and _get_lnc take out. 2.29
/// adds one. Options of the mixture-of-experts and multimodal subclasses are left out: this workbook loads Llama-type decoders.
/// </remarks>
internal static class ConfigOptions
{
    private static readonly (OptionKind Kind, string Names)[] Known =
    [
        (OptionKind.Flag, """
            allow_input_truncation apply_seq_ids_mask async_mode attn_block_cte_nki_kernel_enabled attn_block_tkg_nki_kernel_cache_update
            attn_block_tkg_nki_kernel_cascaded_attention attn_block_tkg_nki_kernel_disable_gpsimd_sb2sb attn_block_tkg_nki_kernel_enabled
            attn_block_tkg_nki_kernel_use_online_softmax attn_kernel_enabled attn_tkg_builtin_kernel_enabled attn_tkg_nki_kernel_enabled
            bucket_n_active_tokens disable_argmax_kernel disable_kv_cache_tiling disable_numeric_cc_token
            eagle_rolling_buffer_kernel_enabled enable_bucketing enable_cte_modular_flow enable_eagle_draft_input_norm
            enable_eagle_speculation enable_fused_speculation enable_output_completion_notifications enable_spill_reload_dge
            expert_mlp_nki_kernel_enabled flash_decoding_enabled fused_qkv fused_rmsnorm_skip_gamma is_block_kv_layout
            is_continuous_batching is_eagle3 is_eagle_draft is_full_model_shuffled is_medusa is_mxfp4_compute is_prefix_caching
            k_cache_transposed kv_cache_quant layer_boundary_markers lm_head_pad mlp_kernel_enabled mlp_kernel_fuse_residual_add
            mlp_tkg_nki_kernel_enabled moe_fused_nki_kernel_enabled on_cpu out_proj_kernel_enabled output_logits overrides_torch_dtype
            pre_rope_rmsnorm qk_layernorm qkv_cte_nki_kernel_fuse_rope qkv_kernel_enabled qkv_kernel_fuse_residual_add
            qkv_kernel_nbsd_layout qkv_nki_kernel_enabled quantized quantized_mlp_kernel_enabled rmsnorm_quantize_kernel_enabled
            router_topk_nki_kernel_enabled save_sharded_checkpoint sequence_parallel_enabled shared_mlp_nki_kernel_enabled skip_sharding
            skip_warmup strided_context_parallel_kernel_enabled switch_cc vocab_parallel
            """),
        (OptionKind.Integer, """
            attention_dp_degree batch_size cc_pipeline_tiling_factor cp_degree ctx_batch_size ep_degree kv_cache_batch_size
            kv_cache_padding_size lm_head_pad_alignment_size local_ranks_size logical_nc_config logical_neuron_cores max_batch_size
            max_context_length max_length max_new_tokens medusa_speculation_length mlp_cp_degree n_active_tokens n_positions
            num_medusa_heads pa_block_size pa_num_blocks padded_hidden_size padded_intermediate_size pp_degree scratchpad_page_size
            seq_len seq_len_threshold_for_cc_tiling spec_batch_size speculation_length start_rank_id tkg_batch_size tp_degree
            weight_gather_seq_len_threshold windowed_context_encoding_size world_size
            """),
        (OptionKind.Number, """
            quantize_clamp_bound
            """),
        (OptionKind.Text, """
            activation_quantization_type attention_dtype attn_cls cast_type ep_dispatch_cc_option padding_side quantization_dtype
            quantization_scale_dtype quantization_type quantized_checkpoints_path rpl_reduce_dtype target torch_dtype
            """),
        (OptionKind.Texts, """
            draft_model_modules_to_not_convert modules_to_not_convert weights_to_skip_layout_optimization
            """),
        (OptionKind.Integers, """
            buckets context_encoding_buckets token_generation_batches token_generation_buckets
            """),
        (OptionKind.Object, """
            chunked_prefill_config kv_quant_config lora_config on_device_sampling_config tensor_capture_config tensor_replacement_config
            token_tree_config
            """),
        (OptionKind.Any, """
            dma_order_config medusa_tree prefix_buckets quantization_block_axis quantization_block_size
            """),
    ];

    private static readonly FrozenDictionary<string, OptionKind> Kinds = Known
        .SelectMany(group => group.Names.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(name => (name, group.Kind)))
        .ToFrozenDictionary(pair => pair.name, pair => pair.Kind);

    /// <summary>Options of the subclasses for pictures and for mixtures of experts, which the class for Llama only logs.</summary>
    public static IReadOnlyList<string> OfSubclasses { get; } =
    [
        "skip_vision", "capacity_factor", "glu_mlp", "glu_type", "hidden_act_scaling_factor", "hidden_act_bias", "gate_clamp_upper_limit",
            "gate_clamp_lower_limit", "up_clamp_upper_limit",
        "up_clamp_lower_limit", "use_index_calc_kernel", "moe_mask_padded_tokens", "early_expert_affinity_modulation",
            "disable_normalize_top_k_affinities", "fused_shared_experts",
        "shared_experts_sequence_parallel_enabled", "return_expert_index", "return_router_logits", "hybrid_sharding_config", "moe_tp_degree",
            "moe_ep_degree",
        "transpose_shared_experts_weights", "blockwise_matmul_config", "router_config",
    ];

    /// <summary>All names, in order.</summary>
    public static IEnumerable<string> Names => Kinds.Keys.Order(StringComparer.Ordinal);

    /// <summary>The fields of kv_quant_config: nxd quantization_config.py, KVQuantizationConfig.</summary>
    public static IReadOnlyList<string> KvQuantFields { get; } = ["k_quant_method", "v_quant_method", "quant_dtype", "direct_cast"];

    /// <summary>The fields of on_device_sampling_config; unknown ones are ignored without a word.</summary>
    public static IReadOnlyList<string> SamplingFields { get; } =
    [
        "do_sample", "top_k", "top_p", "temperature", "dynamic", "deterministic", "global_topk", "on_device_sampling_config", "top_k_kernel_enabled",
        "sampling_dp_degree",
    ];

    /// <summary>The kind of an option; null for a name that NeuronConfig does not read.</summary>
    public static OptionKind? KindOf(string name) => Kinds.TryGetValue(name, out var kind) ? kind : null;

    /// <summary>The known name that needs the fewest edits; null when none is near.</summary>
    public static string? Nearest(string name, IEnumerable<string> known)
    {
        var best = known.Select(candidate => (candidate, Distance: Distance(name, candidate))).MinBy(pair => pair.Distance);
        return best.Distance <= Math.Max(2, name.Length / 3) ? best.candidate : null;
    }

    // Levenshtein's distance, row by row.
    private static int Distance(string left, string right)
    {
        int[] row = [.. Enumerable.Range(0, right.Length + 1)];
        for (int i = 1; i <= left.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= right.Length; j++)
            {
                int replaced = diagonal + (left[i - 1] == right[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, 1 + Math.Min(row[j], row[j - 1]));
            }
        }
        return row[^1];
    }
}
