using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>Each trap is set in a good configuration, one at a time, and must be found with the option's name; the good one must be silent.</summary>
public class NeuronConfigCheckTests
{
    private static readonly ModelConfig Nemo = ModelConfig.Read(Repository.PathOf("data", "mistral-nemo-12b", "config.json"));
    private static readonly NeuronSetup Corrected = NeuronSetup.Read(Repository.PathOf("data", "neuron", "corrected-config.json"));

    [Fact]
    public void The_blogs_configuration_gets_the_two_warnings_it_deserves()
    {
        var report = NeuronConfigCheck.Run(NeuronSetup.Read(Repository.PathOf("data", "neuron", "blog-config.json")), Nemo);
        Assert.True(report.Passed);
        Assert.Equal(["kv_cache_quant", "UNSAFE_FP8FNCAST"], report.Findings.Select(finding => finding.Option));
        Assert.All(report.Findings, finding => Assert.Equal(ConfigSeverity.Warning, finding.Severity));
        Assert.Contains("kv_quant_config", report.Findings[0].Remedy, StringComparison.Ordinal);
    }

    [Fact]
    public void The_corrected_configuration_gets_none_and_a_note_on_loading()
    {
        var report = NeuronConfigCheck.Run(Corrected, Nemo);
        Assert.Empty(report.Findings);
        Assert.Contains(report.Notes, note => note.Contains("same configuration object", StringComparison.Ordinal));
        Assert.Empty(NeuronConfigCheck.Run(Corrected).Findings); // also without a model
    }

    [Fact]
    public void On_an_older_release_the_blogs_cache_is_fp8_and_the_new_option_is_unknown()
    {
        var sdk = NeuronSdk.Parse("2.27.1");
        var blog = NeuronConfigCheck.Run(NeuronSetup.Read(Repository.PathOf("data", "neuron", "blog-config.json"), sdk), Nemo);
        Assert.Equal("UNSAFE_FP8FNCAST", Assert.Single(blog.Findings).Option);
        Found(Corrected with { Sdk = sdk }, ConfigSeverity.Error, "kv_quant_config", "ignores");
    }

    [Theory]
    [InlineData("quantizaton_dtype", "\"int8\"", ConfigSeverity.Error, "quantizaton_dtype", "quantization_dtype")]
    [InlineData("quantized", "1", ConfigSeverity.Error, "quantized", "is True")]
    [InlineData("tp_degree", "\"2\"", ConfigSeverity.Error, "tp_degree", "whole number")]
    [InlineData("batch_size", "0", ConfigSeverity.Error, "batch_size", "at least 1")]
    [InlineData("modules_to_not_convert", "\"lm_head\"", ConfigSeverity.Error, "modules_to_not_convert", "list of strings")]
    [InlineData("on_device_sampling_config", "{\"topk\":1}", ConfigSeverity.Error, "on_device_sampling_config.topk", "top_k")]
    [InlineData("on_device_sampling_config", "{\"dynamic\":true}", ConfigSeverity.Warning, "on_device_sampling_config", "NCC_IXCG856")]
    [InlineData("quantization_dtype", "\"fp8\"", ConfigSeverity.Error, "quantization_dtype", "f8e4m3")]
    [InlineData("quantization_dtype", "\"float8_e4m3fn\"", ConfigSeverity.Error, "quantization_dtype", "f8e4m3")]
    [InlineData("quantization_dtype", "\"F8E4M3\"", ConfigSeverity.Error, "quantization_dtype", "NCC_EVRF051")]
    [InlineData("quantization_dtype", "\"f8e4m3fn\"", ConfigSeverity.Error, "quantization_dtype", "NCC_EVRF051")]
    [InlineData("quantization_dtype", "\"INT8\"", ConfigSeverity.Warning, "quantization_dtype", "\"int8\"")]
    [InlineData("quantization_dtype", "\"F8E4M3FN_X4\"", ConfigSeverity.Error, "quantization_dtype", "packed")]
    [InlineData("quantization_type", "\"per_chanel_symmetric\"", ConfigSeverity.Error, "quantization_type", "per_channel_symmetric")]
    [InlineData("quantization_type", "\"blockwise_symmetric\"", ConfigSeverity.Error, "quantization_type", "per_channel_symmetric")]
    [InlineData("quantization_type", null, ConfigSeverity.Warning, "quantization_type", "per_tensor_symmetric")]
    [InlineData("quantization_type", "\"per_tensor_symmetric\"", ConfigSeverity.Error, "modules_to_not_convert", "per tensor")]
    [InlineData("quantized_checkpoints_path", null, ConfigSeverity.Error, "quantized_checkpoints_path", "AssertionError")]
    [InlineData("quantized", "false", ConfigSeverity.Warning, "modules_to_not_convert", "does nothing")]
    [InlineData("on_cpu", "true", ConfigSeverity.Error, "on_cpu", "silently wrong")]
    [InlineData("kv_quant_config", "{\"quant_dtype\":\"float8_e4m3fn\"}", ConfigSeverity.Error, "kv_quant_config.quant_dtype", "torch.dtype")]
    [InlineData("kv_quant_config", "{\"direct_cast\":false}", ConfigSeverity.Warning, "kv_quant_config.direct_cast", "kv_mgr.k_scales")]
    [InlineData("kv_quant_config", "{\"quant_type\":\"x\"}", ConfigSeverity.Error, "kv_quant_config.quant_type", "quant_dtype")]
    [InlineData("kv_cache_quant", "false", ConfigSeverity.Error, "kv_quant_config", "NCC_EVRF051")]
    [InlineData("activation_quantization_type", "\"DYNAMIC\"", ConfigSeverity.Error, "activation_quantization_type", "lower case")]
    [InlineData("activation_quantization_type", "\"dynamic\"", ConfigSeverity.Warning, "activation_quantization_type", "Trn2")]
    [InlineData("quantized_mlp_kernel_enabled", "true", ConfigSeverity.Error, "quantized_mlp_kernel_enabled", "Trn2")]
    [InlineData("rmsnorm_quantize_kernel_enabled", "true", ConfigSeverity.Error, "rmsnorm_quantize_kernel_enabled", "quantized_mlp_kernel_enabled")]
    [InlineData("max_context_length", "8192", ConfigSeverity.Error, "max_context_length", "max_length")]
    [InlineData("context_encoding_buckets", "[128, 4096]", ConfigSeverity.Error, "context_encoding_buckets", "3072")]
    [InlineData("token_generation_buckets", "[128, 8192]", ConfigSeverity.Error, "token_generation_buckets", "4096")]
    [InlineData("seq_len", "262144", ConfigSeverity.Warning, "max_length", "131072")]
    [InlineData("attention_dtype", "\"float32\"", ConfigSeverity.Error, "attention_dtype", "as-declared")]
    [InlineData("torch_dtype", "\"int8\"", ConfigSeverity.Error, "torch_dtype", "bfloat16")]
    [InlineData("logical_nc_config", "2", ConfigSeverity.Error, "logical_nc_config", "Trn2")]
    [InlineData("tp_degree", "4", ConfigSeverity.Error, "tp_degree", "inf2.8xlarge")]
    [InlineData("tp_degree", null, ConfigSeverity.Warning, "tp_degree", "default is 1")]
    public void A_trap_is_found(string option, string? value, ConfigSeverity severity, string where, string words)
    {
        var config = Corrected.Config.With(option, value is null ? null : JsonNode.Parse(value));
        Found(Corrected with { Config = config }, severity, where, words);
    }

    [Theory]
    [InlineData("model.layers.3.mlp", ConfigSeverity.Error, "layers.3.mlp")]
    [InlineData("layers.3.self_attn.q_proj", ConfigSeverity.Error, "layers.3.self_attn.qkv_proj.q_proj")]
    [InlineData("layers.3.self_attn.qkv_proj.q_proj", ConfigSeverity.Error, "layers.3.self_attn.q_proj")]
    [InlineData("layers.3", ConfigSeverity.Warning, "30")]
    [InlineData("layers.1.mpl", ConfigSeverity.Error, "matches no linear module")]
    [InlineData("", ConfigSeverity.Error, "every module")]
    public void An_unsafe_entry_is_found_with_and_without_a_model(string entry, ConfigSeverity severity, string words)
    {
        var setup = Corrected with { Config = Corrected.Config.With("modules_to_not_convert", new JsonArray(entry)) };
        Found(setup, severity, $"modules_to_not_convert: {entry}", words);
        Assert.Contains(NeuronConfigCheck.Run(setup).Findings, finding =>
            finding.Option == $"modules_to_not_convert: {entry}" && finding.Severity == severity);
    }

    [Fact]
    public void An_entry_and_its_twin_are_safe_together()
    {
        var config = Corrected.Config.With("modules_to_not_convert",
            new JsonArray("layers.3.self_attn.q_proj", "layers.3.self_attn.qkv_proj.q_proj"));
        Assert.Empty(NeuronConfigCheck.Run(Corrected with { Config = config }, Nemo).Findings);
    }

    [Fact]
    public void Fused_projections_want_the_exact_form_and_lose_to_activation_quantization()
    {
        var fused = Corrected with
        {
            Config = Corrected.Config.With("fused_qkv", true).With("modules_to_not_convert",
            new JsonArray("layers.3.self_attn."))
        };
        Found(fused, ConfigSeverity.Error, "fused_qkv", "\"layers.3.self_attn\"");
        Assert.Empty(NeuronConfigCheck.Run(Corrected with { Config = Corrected.Config.With("fused_qkv", true) }, Nemo).Findings);
        Found(Corrected with { Config = Corrected.Config.With("fused_qkv", true).With("activation_quantization_type", "static") },
            ConfigSeverity.Warning, "fused_qkv", "False");
    }

    [Fact]
    public void The_platform_is_checked()
    {
        Found(Corrected with { Sdk = NeuronSdk.Parse("2.29") }, ConfigSeverity.Error, "sdk", "2.28.1");
        Found(Corrected with { Sdk = NeuronSdk.Parse("2.32.0") }, ConfigSeverity.Error, "sdk", "no NxD Inference");
        Found(Corrected with { Instance = "inf2.4xlarge" }, ConfigSeverity.Error, "instance", "inf2.8xlarge");
        Found(Corrected with { Instance = "inf2.xlarge" }, ConfigSeverity.Error, "instance", "host memory");
        Found(Corrected with { ModelClass = "NeuronMistralForCausalLM" }, ConfigSeverity.Error, "model_class", "does not exist");
        Found(Corrected with { ModelClass = "NeuronMistralForCausalLM", Sdk = NeuronSdk.Parse("2.30") }, ConfigSeverity.Error, "model_class", "160");
        Found(Corrected with { ModelClass = "NeuronQwen2ForCausalLM" }, ConfigSeverity.Error, "model_class", "NeuronLlamaForCausalLM");
        var fp8 = Corrected.Config.With("quantization_dtype", "f8e4m3");
        Found(Corrected with { Config = fp8, Environment = new Dictionary<string, string> { ["UNSAFE_FP8FNCAST"] = "1" } }, ConfigSeverity.Error,
            "XLA_HANDLE_SPECIAL_SCALAR", "not set");
        Assert.Throws<NeuronException>(() => NeuronSdk.Parse("two"));
    }

    [Fact]
    public void Heads_that_do_not_divide_are_found()
    {
        var large = Corrected with { Instance = "inf2.24xlarge" };
        Found(large with { Config = large.Config.With("tp_degree", 12) }, ConfigSeverity.Warning, "tp_degree", "36");
        Found(large with
        {
            Config = large.Config.With("tp_degree", 12).With("quantization_type",
            "per_tensor_symmetric").With("modules_to_not_convert", null)
        },
            ConfigSeverity.Error, "quantization_type", "padding");
        Assert.Contains(NeuronConfigCheck.Run(Corrected with { Instance = null, Config = Corrected.Config.With("tp_degree", 12) }).Findings,
            finding => finding.Option == "tp_degree");
    }

    [Fact]
    public void What_only_the_model_tells_is_found()
    {
        var windowed = NeuronConfigCheck.Run(Corrected, Nemo with { SlidingWindow = 1024 });
        Assert.Contains(windowed.Findings, finding => finding.Option == "sliding_window");
        var tied = NeuronConfigCheck.Run(Corrected with { Config = Corrected.Config.With("modules_to_not_convert", null) },
            Nemo with { TieWordEmbeddings = true });
        Assert.Contains(tied.Errors, finding => finding.Option.EndsWith("lm_head", StringComparison.Ordinal));
        var biased = NeuronConfigCheck.Run(Corrected, Nemo with { HasQueryKeyValueBias = true });
        Assert.Contains(biased.Errors, finding => finding.Message.Contains("issue 60", StringComparison.Ordinal));
    }

    [Fact]
    public void The_folder_is_compared_and_audited()
    {
        using var model = new TinyModel();
        using var source = model.Open();
        var record = NeuronCheckpoint.Write(source, model.PathOf("q"),
            QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["lm_head"]));
        var setup = NeuronSetup.Of(NeuronConfig.For(record, model.PathOf("q")).With("torch_dtype", "bfloat16").With("tp_degree", 2).With("seq_len",
            64), "inf2.8xlarge");
        Assert.Empty(NeuronConfigCheck.Run(setup, source.Config, source).Findings);
        var other = setup with
        {
            Config = setup.Config.With("quantization_dtype", "f8e5m2").With("modules_to_not_convert",
            new JsonArray("layers.0.mlp"))
        };
        var found = NeuronConfigCheck.Run(other, source.Config, source).Errors.Select(finding => finding.Option).ToArray();
        Assert.Contains("quantization_dtype", found);
        Assert.Contains("modules_to_not_convert", found);
        Assert.Contains("quantized_checkpoints_path: lm_head", found);
        NeuronCheckpoint.Write(source, model.PathOf("fake"), QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["lm_head"]),
            CheckpointLayout.Fake);
        Assert.Contains(NeuronConfigCheck.Run(setup with { Config = setup.Config.With("quantized_checkpoints_path", model.PathOf("fake")) }).Errors,
            finding => finding.Message.Contains("fake-quantized", StringComparison.Ordinal));
        Assert.Contains(NeuronConfigCheck.Run(
            setup with { Config = setup.Config.With("quantized_checkpoints_path", Path.Combine(model.Folder, "config.json")) }).Warnings,
            finding => finding.Message.Contains("pickle", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("{\"quantized\": True}", "not JSON")]
    [InlineData("[]", "not a JSON object")]
    [InlineData("{\"tp_degree\": 2, \"tp_degree\": 4}", "once")]
    [InlineData("{\"neuron_config\": {}, \"hidden_size\": 5120}", "hidden_size")]
    [InlineData("{\"neuron_config\": 3}", "not an object")]
    [InlineData("{\"neuron_config\": {}, \"environment\": {\"A\": 1}}", "environment.A")]
    public void A_file_that_is_no_configuration_is_refused(string text, string words)
    {
        string path = Path.GetTempFileName();
        File.WriteAllText(path, text);
        Assert.Contains(words, Assert.Throws<NeuronException>(() => NeuronSetup.Read(path)).Message, StringComparison.Ordinal);
        File.Delete(path);
    }

    [Fact]
    public void The_call_is_Python()
    {
        string python = Corrected.Config.ToPython();
        foreach (string line in new[] { "tp_degree=2,", "torch_dtype=torch.bfloat16,", "quantized=True,", "kv_quant_config={},",
            "quantization_dtype=\"int8\",", "\"layers.37.mlp\"" })
            Assert.Contains(line, python, StringComparison.Ordinal);
        Assert.Equal(Corrected.Config.ToJson(), NeuronConfig.Of((JsonObject)JsonNode.Parse(Corrected.Config.ToJson())!).ToJson());
    }

    private static void Found(NeuronSetup setup, ConfigSeverity severity, string option, string words)
    {
        var report = NeuronConfigCheck.Run(setup, Nemo);
        var finding = report.Findings.FirstOrDefault(found =>
            found.Option == option && found.Severity == severity && $"{found}".Contains(words, StringComparison.Ordinal));
        Assert.True(finding is not null, $"{severity} {option} with '{words}' expected among:\n{string.Join("\n", report.Findings)}");
        Assert.NotEqual("", finding.Message);
    }
}
