using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>
/// One case for each clause of the check that no other test holds: the clause was taken away and nothing failed. What the class says to a case
/// is read from models/config.py at nxd-inference cd3abf3, whose lines the rules name.
/// </summary>
public class ConfigCaseTests
{
    private const string Quantized = "\"quantized\":true,\"quantized_checkpoints_path\":\"q\",\"quantization_type\":\"per_channel_symmetric\"";
    private static readonly ModelConfig Nemo = ModelConfig.Read(Repository.PathOf("data", "mistral-nemo-12b", "config.json"));

    [Theory]
    [InlineData("\"attn_block_cte_nki_kernel_enabled\":true,\"attn_block_tkg_nki_kernel_enabled\":true", "attn_block_cte_nki_kernel_enabled",
        "qkv kernel")]
    [InlineData("\"quantized_mlp_kernel_enabled\":true,\"qkv_kernel_enabled\":true", "modules_to_not_convert", "must not be empty")]
    [InlineData("\"tp_degree\":8,\"cp_degree\":2,\"attention_dp_degree\":4,\"batch_size\":4", "attention_dp_degree", "above cp_degree")]
    [InlineData("\"lora_config\":{\"lora_ckpt_paths\":{\"a\":3,\"b\":\"/nowhere/b\"}}", "lora_config", "/nowhere/b")]
    [InlineData("\"on_cpu\":true,\"tp_degree\":2", "on_cpu", "not implemented for bf16")]
    [InlineData("\"on_cpu\":true,\"tp_degree\":2,\"torch_dtype\":\"bfloat16\"", "on_cpu", "not implemented for bf16")]
    [InlineData(Quantized + ",\"fused_qkv\":true,\"modules_to_not_convert\":[\"layers.3.self_attn.qkv_proj.q_proj\"]", "fused_qkv", "is excluded")]
    [InlineData(Quantized + ",\"fused_qkv\":true,\"modules_to_not_convert\":[\"layers.3.self_attn.qkv_proj.k_proj\"]", "fused_qkv", "is excluded")]
    [InlineData(Quantized + ",\"fused_qkv\":true,\"modules_to_not_convert\":[\"layers.3.self_attn.qkv_proj.v_proj\"]", "fused_qkv", "is excluded")]
    [InlineData("\"quantized\":true,\"quantization_type\":\"per_chanel\"", "quantization_type", "is not a type that NxDI has")]
    [InlineData("\"quantized\":true,\"quantization_dtype\":\"f8e5m2\"", "quantization_type", "0-dimensional")]
    [InlineData("\"quantized\":true,\"quantized_checkpoints_path\":\"\"", "quantized_checkpoints_path", "is empty")]
    [InlineData("\"quantized\":true,\"modules_to_not_convert\":[\"model.layers.3.mlp\"]", "modules_to_not_convert: model.layers.3.mlp",
        "no 'model.' prefix")]
    [InlineData("\"logical_neuron_cores\":1", "logical_neuron_cores", "old name")]
    [InlineData("\"modules_to_not_convert\":[1]", "modules_to_not_convert", "list of strings")]
    [InlineData("\"buckets\":[null]", "buckets", "list of whole numbers")]
    [InlineData("\"buckets\":[\"a\"]", "buckets", "list of whole numbers")]
    [InlineData("\"buckets\":4", "buckets", "list of whole numbers")]
    [InlineData("\"token_generation_batches\":2.5", "token_generation_batches", "list of whole numbers")]
    [InlineData("\"seq_len\":512,\"token_generation_buckets\":[128]", "token_generation_buckets", "have no graph")]
    [InlineData("\"on_device_sampling_config\":{\"top_k\":5}", "on_device_sampling_config", "NCC_IXCG856")]
    [InlineData("\"on_device_sampling_config\":{\"do_sample\":true}", "on_device_sampling_config", "NCC_IXCG856")]
    [InlineData(Quantized + ",\"quantization_dtype\":\"F8E5M2\"", "quantization_dtype", "without case")]
    [InlineData("\"activation_quantization_type\":\"dynamic\",\"qkv_kernel_enabled\":true", "modules_to_not_convert", "must not be empty")]
    public void It_is_found(string options, string option, string words) =>
        Assert.Contains(Findings(options), finding => finding.Option == option && $"{finding}".Contains(words, StringComparison.Ordinal));

    [Theory]
    [InlineData("\"is_block_kv_layout\":true,\"chunked_prefill_config\":{},\"batch_size\":2", "chunked_prefill_config")]
    [InlineData("\"tensor_replacement_config\":{\"ref_dir\":1,\"neuron_dir\":1,\"tf_map\":1,\"neuron_config\":1}", "tensor_replacement_config")]
    [InlineData("\"cp_degree\":0", "cp_degree")]
    [InlineData("\"attention_dp_degree\":0", "attention_dp_degree")]
    [InlineData("\"k_cache_transposed\":true", "k_cache_transposed")]
    [InlineData("\"fused_qkv\":true", "fused_qkv")]
    [InlineData("\"kv_cache_quant\":true,\"kv_quant_config\":{\"direct_cast\":true,\"k_quant_method\":\"x\"}", "kv_quant_config.k_quant_method")]
    [InlineData("\"kv_cache_quant\":true,\"kv_quant_config\":{\"direct_cast\":false}", "kv_quant_config.k_quant_method")]
    [InlineData("\"kv_cache_quant\":true,\"kv_quant_config\":{\"direct_cast\":true}", "kv_quant_config.direct_cast")]
    [InlineData("\"modules_to_not_convert\":[\"model.x\"]", "modules_to_not_convert: model.x")]
    [InlineData("", "overrides_torch_dtype")]
    [InlineData("\"seq_len\":512,\"token_generation_buckets\":[512]", "token_generation_buckets")]
    [InlineData("\"on_device_sampling_config\":{\"top_k\":1}", "on_device_sampling_config")]
    [InlineData("\"torch_dtype\":\"float16\"", "torch_dtype")]
    [InlineData("\"cast_type\":\"config\"", "cast_type")]
    [InlineData("\"is_block_kv_layout\":true,\"chunked_prefill_config\":{\"tkg_model_enabled\":false},\"batch_size\":1", "chunked_prefill_config")]
    [InlineData("\"torch_dtype\":\"torch.float32\"", "torch_dtype")]
    [InlineData(Quantized + ",\"quantization_dtype\":\"f8e5m2\"", "quantization_dtype")]
    public void It_is_no_fault(string options, string option) => Assert.DoesNotContain(Findings(options), finding => finding.Option == option);

    [Theory]
    [InlineData("\"quantization_dtype\":\"fp8\"", "AssertionError")]
    [InlineData("\"activation_quantization_type\":\"dynamic\"", "fp8 graph")]
    [InlineData(Quantized + ",\"quantization_dtype\":\"float\"", "another library's spelling")]
    [InlineData(Quantized + ",\"quantization_dtype\":\"uint8\"", "another library's spelling")]
    [InlineData("\"attention_dtype\":\"float\"", "differs from torch_dtype")]
    [InlineData("\"logical_nc_config\":\"1\"", "is no whole number.")]
    [InlineData(Quantized + ",\"quantization_dtype\":\"f8e4m3fn\"", "is no type that it has.")]
    [InlineData(Quantized + ",\"quantization_dtype\":\"f4e2m1fn_x4\"", "is no type that it has.")]
    [InlineData(Quantized + ",\"quantization_dtype\":\"f8e4m3fn_x4\"", "is no type that it has.")]
    [InlineData(Quantized + ",\"quantization_dtype\":\"f8e5m2_x4\"", "is no type that it has.")]
    [InlineData("\"on_cpu\":true,\"tp_degree\":1", "not implemented for bf16")]
    [InlineData("\"on_cpu\":true,\"tp_degree\":2,\"torch_dtype\":\"float32\"", "not implemented for bf16")]
    [InlineData("\"quantized\":true,\"quantized_checkpoints_path\":\"q\",\"quantization_type\":\"per_tensor_symmetric\"", "0-dimensional")]
    public void The_words_are_not_said(string options, string words) =>
        Assert.DoesNotContain(Findings(options), finding => $"{finding}".Contains(words, StringComparison.Ordinal));

    [Fact]
    public void An_adapter_may_be_a_file_or_a_folder()
    {
        foreach (string there in new[] { Repository.PathOf("README.md"), Repository.PathOf("data") })
            Assert.Empty(Findings($"\"lora_config\":{{\"lora_ckpt_paths\":{{\"a\":{JsonValue.Create(there).ToJsonString()}}}}}"));
    }

    [Fact]
    public void The_model_decides_on_biases_windows_sizes_and_tied_heads()
    {
        var biased = Nemo with { HasQueryKeyValueBias = true, TieWordEmbeddings = true };
        Assert.DoesNotContain(Findings($"{Quantized},\"modules_to_not_convert\":[\"self_attn\",\"lm_head\"]", biased),
            finding => finding.Message.Contains("issue 60", StringComparison.Ordinal));
        Assert.DoesNotContain(Findings("\"seq_len\":4096", Nemo with { SlidingWindow = 8192 }), finding => finding.Option == "sliding_window");
        Assert.Contains(Findings("\"tp_degree\":0", Nemo), finding => finding.Option == "tp_degree"); // and no division by it
        Assert.DoesNotContain(Findings("\"tp_degree\":2,\"modules_to_not_convert\":[\"lm_head\"]", Nemo),
            finding => finding.Severity == ConfigSeverity.Error);
        Assert.Contains(Findings($"{Quantized},\"modules_to_not_convert\":[\"lm_head\",\"layers.99.mlp\"]", biased),
            finding => finding.Option.EndsWith("layers.99.mlp", StringComparison.Ordinal));
    }

    [Fact]
    public void A_release_without_Inf2_is_wrong_for_Inf2_alone()
    {
        var later = NeuronSdk.Parse("2.29");
        bool Refused(string? instance) => NeuronConfigCheck.Run(NeuronSetup.Of(NeuronConfig.Unquantized(), instance,
            later)).Errors.Any(finding => finding.Option == "sdk");
        Assert.Equal((true, true, false), (Refused(null), Refused("inf2.8xlarge"), Refused("trn2.48xlarge")));
    }

    [Fact]
    public void Sampling_kernels_fail_since_2_28_alone()
    {
        bool Warned(string sdk) => NeuronConfigCheck.Run(NeuronSetup.Of(Of("\"on_device_sampling_config\":{\"top_k\":5}"), "inf2.8xlarge",
            NeuronSdk.Parse(sdk))).Findings.Any(finding => finding.Option == "on_device_sampling_config");
        Assert.Equal((false, true), (Warned("2.27"), Warned("2.28")));
    }

    [Fact]
    public void Key_heads_that_are_repeated_leave_attention_grouped()
    {
        Assert.Equal((16, false), (HeadSharding.Of(Nemo, 16).KeyValueHeads, HeadSharding.Of(Nemo, 16).BecomesFullAttention)); // 8 heads, twice each
        Assert.True(HeadSharding.Of(Nemo, 12).BecomesFullAttention);
    }

    [Theory]
    [InlineData("\"quantization_dtype\":\"f8e4m3\"", false)] // does nothing while quantized is not true
    [InlineData(Quantized + ",\"quantization_dtype\":\"f8e4m3\"", true)]
    [InlineData("\"kv_quant_config\":{}", true)]
    [InlineData("\"kv_cache_quant\":true", true)]
    [InlineData(Quantized, false)]
    public void Fp8_weights_and_an_fp8_cache_need_variables(string options, bool needed) =>
        Assert.Equal(needed, Of(options).RequiredEnvironment.Count > 0);

    [Fact]
    public void A_variable_with_another_value_is_as_wrong_as_none()
    {
        var config = NeuronConfig.Unquantized().WithFp8Cache(NeuronSdk.Pinned);
        var wrong = NeuronSetup.Of(config, "inf2.8xlarge") with { Environment = config.RequiredEnvironment.ToDictionary(pair => pair.Key, _ => "0") };
        Assert.Contains("is '0'", NeuronConfigCheck.Run(wrong).Findings.Single(finding => finding.Option == "UNSAFE_FP8FNCAST").Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_cache_in_fp8_lacks_its_variables_with_a_warning_whatever_the_inert_dtype_says()
    {
        var config = NeuronConfig.Unquantized().WithFp8Cache(NeuronSdk.Pinned).With("quantization_dtype", "f8e4m3");
        var bare = NeuronSetup.Of(config, "inf2.8xlarge") with { Environment = new Dictionary<string, string>() };
        Assert.All(NeuronConfigCheck.Run(bare).Findings.Where(finding => finding.Option == "UNSAFE_FP8FNCAST"),
            finding => Assert.Equal(ConfigSeverity.Warning, finding.Severity));
    }

    [Fact]
    public void The_class_must_be_that_of_the_family()
    {
        ConfigFinding? Said(string name, ModelConfig? model, string sdk = "2.28.1") => NeuronConfigCheck.Run(
            NeuronSetup.Of(NeuronConfig.Unquantized(), sdk: NeuronSdk.Parse(sdk)) with { ModelClass = name },
                model).Findings.FirstOrDefault(finding => finding.Option == "model_class");
        Assert.Null(Said("NeuronQwen2ForCausalLM", null));
        foreach (var (name, model) in new[] { ("Other", (ModelConfig?)null), ("Other", Nemo), ("NeuronMistralForCausalLM",
            Nemo with { Family = ModelFamily.Qwen2 }) })
            Assert.Contains("is not the class", Said(name, model)!.Message, StringComparison.Ordinal);
        Assert.Contains("wrong for Mistral-Nemo", Said("NeuronMistralForCausalLM", null, "2.30")!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_folder_counts_when_it_is_there_and_quantized_is_true()
    {
        string file = Repository.PathOf("README.md");
        Assert.DoesNotContain(Findings($"\"quantized_checkpoints_path\":{JsonValue.Create(file).ToJsonString()}"),
            finding => finding.Message.Contains("pickle", StringComparison.Ordinal));
        Assert.Contains(NeuronConfigCheck.Run(NeuronSetup.Of(Of(Quantized))).Notes, note => note.StartsWith("There is no folder",
            StringComparison.Ordinal));
        using var tied = new TinyModel(tied: true);
        using var source = tied.Open();
        var config = NeuronConfig.For(NeuronCheckpoint.Write(source, tied.PathOf("q"), QuantizationPlan.Create(source, Format.Int8,
            Granularity.PerTensorSymmetric)), tied.PathOf("q"));
        bool Ignored(NeuronConfig one) => NeuronConfigCheck.Run(NeuronSetup.Of(one)).Errors.Any(finding => finding.Message.StartsWith("is "
            + "ignored when NxDI", StringComparison.Ordinal));
        Assert.False(Ignored(config));
        Assert.True(Ignored(config.With("modules_to_not_convert", new JsonArray("lm_head", "layers.0.mlp"))));
    }

    private static NeuronConfig Of(string options) => NeuronConfig.Of(JsonNode.Parse($"{{{options}}}")!.AsObject());

    private static IReadOnlyList<ConfigFinding> Findings(string options, ModelConfig? model = null) =>
        NeuronConfigCheck.Run(NeuronSetup.Of(Of(options)) with { Instance = model is null ? null : "inf2.8xlarge" }, model).Findings;
}
