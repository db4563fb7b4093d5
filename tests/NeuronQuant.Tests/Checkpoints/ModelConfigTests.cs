using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>config.json: the defaults of each family, and an error with file and field for everything wrong.</summary>
public sealed class ModelConfigTests : IDisposable
{
    private const string Stretch = "\"factor\": 8.0, \"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": 8192";

    private readonly TestFiles _files = new();

    public void Dispose() => _files.Dispose();

    private static JsonObject Minimal(string type = "llama") => JsonNode.Parse($$"""
        {"model_type": "{{type}}", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 2, "num_attention_heads": 8,
         "vocab_size": 512, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5}
        """)!.AsObject();

    private ModelConfig Read(JsonObject json) => ModelConfig.Read(_files.Text("config.json", json.ToJsonString()));

    private ModelConfig With(string type, string fields)
    {
        var json = Minimal(type);
        foreach (var (name, value) in JsonNode.Parse(fields)!.AsObject()) json[name] = value?.DeepClone();
        return Read(json);
    }

    private void Refused(CheckpointFailure failure, string field, Action read)
    {
        var error = Assert.Throws<CheckpointException>(read);
        Assert.Equal((failure, _files.PathOf("config.json"), field), (error.Failure, error.File, error.Tensor));
        Assert.Contains(field, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AMinimalLlamaGetsTheDefaults()
    {
        var config = Read(Minimal());
        Assert.Equal((ModelFamily.Llama, 8, 8, 10_000.0, "silu"),
            (config.Family, config.KeyValueHeadCount, config.HeadSize, config.RopeTheta, config.HiddenActivation));
        Assert.False(config.TieWordEmbeddings || config.HasQueryKeyValueBias || config.HasOutputBias || config.HasMlpBias);
        Assert.Null(config.RopeScaling);
        Assert.Null(config.SlidingWindow);
        Assert.Null(config.WeightType);
        Assert.Null(config.QuantizationMethod);
        Assert.Empty(config.EndTokenIds);
    }

    [Fact] // The fields that matter of mistralai/Mistral-Nemo-Instruct-2407.
    public void MistralNemoHasHeadsNarrowerThanHiddenByHeads()
    {
        var config = With("mistral", """
            {"architectures": ["MistralForCausalLM"], "hidden_size": 5120, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
             "num_hidden_layers": 40, "intermediate_size": 14336, "vocab_size": 131072, "rope_theta": 1000000.0, "sliding_window": null,
             "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16"}
            """);
        Assert.Equal((4096, 1024), (config.QuerySize, config.KeyValueSize));
        Assert.Null(config.SlidingWindow);
        Assert.Equal(TensorType.BF16, config.WeightType);
        Assert.Equal(12_247_782_400, ExpectedTensors.Of(config).Sum(t => t.Shape.Aggregate(1L, (x, y) => x * y))); // The published 12.2B.
    }

    [Theory]
    [InlineData("mistral", "{}", 4096, 0)] // Left out is not the same as null.
    [InlineData("mistral", "{\"sliding_window\": null}", null, 0)]
    [InlineData("mistral", "{\"sliding_window\": 512}", 512, 0)]
    [InlineData("llama", "{\"sliding_window\": 512}", null, 0)]
    [InlineData("qwen2", "{\"sliding_window\": 512, \"max_window_layers\": 1}", null, 1)]
    [InlineData("qwen2", "{\"sliding_window\": 512, \"use_sliding_window\": false}", null, 28)]
    [InlineData("qwen2", "{\"sliding_window\": 512, \"use_sliding_window\": true, \"max_window_layers\": 1}", 512, 1)]
    [InlineData("qwen2", "{\"use_sliding_window\": true, \"max_window_layers\": 0}", 4096, 0)]
    public void SlidingWindowsFollowTheFamily(string type, string fields, int? window, int first)
    {
        var config = With(type, fields);
        Assert.Equal((window, first), (config.SlidingWindow, config.FirstSlidingLayer));
        Assert.Equal(first == 0 ? window : null, config.SlidingWindowOf(0));
        Assert.Equal(first <= 1 ? window : null, config.SlidingWindowOf(1));
    }

    [Theory]
    [InlineData("llama", "{\"attention_bias\": true, \"mlp_bias\": true}", true, true, true)]
    [InlineData("mistral", "{\"attention_bias\": true}", false, false, false)]
    [InlineData("qwen2", "{}", true, false, false)]
    public void BiasesFollowTheFamily(string type, string fields, bool queryKeyValue, bool output, bool mlp)
    {
        var config = With(type, fields);
        Assert.Equal((queryKeyValue, output, mlp), (config.HasQueryKeyValueBias, config.HasOutputBias, config.HasMlpBias));
    }

    [Theory] // meta-llama/Llama-3.1-8B, as transformers 4 and 5 write it.
    [InlineData("{\"rope_theta\": 500000.0, \"rope_scaling\": {\"rope_type\": \"llama3\", " + Stretch + "}}")]
    [InlineData("{\"rope_parameters\": {\"rope_theta\": 500000, \"rope_type\": \"llama3\", " + Stretch + "}}")]
    public void Llama3RopeIsReadFromEitherPlace(string fields)
    {
        var config = With("llama", fields);
        Assert.Equal(500_000, config.RopeTheta);
        Assert.Equal(new RopeScaling(8, 1, 4, 8192), config.RopeScaling);
    }

    [Theory]
    [InlineData("{\"rope_scaling\": null}")]
    [InlineData("{\"rope_parameters\": {\"rope_theta\": 10000.0, \"rope_type\": \"default\"}}")]
    [InlineData("{\"rope_parameters\": {\"rope_theta\": 10000.0}, \"rope_theta\": 10000}")]
    public void NoScalingIsNull(string fields) => Assert.Null(With("llama", fields).RopeScaling);

    [Fact]
    public void TokensTypesAndQuantizationAreRead()
    {
        var config = With("llama", """
            {"bos_token_id": 128000, "eos_token_id": [128001, 128008], "pad_token_id": -1, "dtype": "float32", "tie_word_embeddings": true,
             "quantization_config": {"quant_method": "fp8"}}
            """);
        Assert.Equal((128000, -1, TensorType.F32, true, "fp8"),
            (config.BeginTokenId, config.PadTokenId, config.WeightType, config.TieWordEmbeddings, config.QuantizationMethod));
        Assert.Equal([128001, 128008], config.EndTokenIds.AsEnumerable());
        Assert.Equal("unknown", With("llama", "{\"quantization_config\": {}}").QuantizationMethod);
    }

    [Theory]
    [InlineData("hidden_size")]
    [InlineData("intermediate_size")]
    [InlineData("num_hidden_layers")]
    [InlineData("num_attention_heads")]
    [InlineData("vocab_size")]
    [InlineData("max_position_embeddings")]
    [InlineData("rms_norm_eps")]
    [InlineData("model_type")]
    public void AMissingFieldIsNamed(string field)
    {
        var json = Minimal();
        json.Remove(field);
        Refused(CheckpointFailure.ConfigFieldMissing, field, () => Read(json));
        json[field] = null;
        Refused(CheckpointFailure.ConfigFieldMissing, field, () => Read(json));
    }

    [Theory]
    [InlineData("hidden_size", "\"64\"")]
    [InlineData("hidden_size", "64.5")]
    [InlineData("vocab_size", "99999999999999999999")]
    [InlineData("rms_norm_eps", "\"1e-5\"")]
    [InlineData("model_type", "1")]
    [InlineData("architectures", "\"LlamaForCausalLM\"")]
    [InlineData("architectures", "[1]")]
    [InlineData("tie_word_embeddings", "1")]
    [InlineData("attention_bias", "\"true\"")]
    [InlineData("eos_token_id", "\"2\"")]
    [InlineData("eos_token_id", "[2, \"3\"]")]
    [InlineData("rope_scaling", "\"llama3\"")]
    [InlineData("quantization_config", "true")]
    public void AWrongJsonTypeIsNamed(string field, string value) =>
        Refused(CheckpointFailure.ConfigFieldType, field, () => With("llama", $"{{\"{field}\": {value}}}"));

    [Theory]
    [InlineData("hidden_size", "{\"hidden_size\": 0}")]
    [InlineData("hidden_size", "{\"hidden_size\": -64}")]
    [InlineData("vocab_size", "{\"vocab_size\": 2147483647}")]
    [InlineData("num_hidden_layers", "{\"num_hidden_layers\": 2147483647}")]
    [InlineData("num_key_value_heads", "{\"num_key_value_heads\": 3}")]
    [InlineData("num_key_value_heads", "{\"num_key_value_heads\": 16}")]
    [InlineData("num_attention_heads", "{\"num_attention_heads\": 7}")]
    [InlineData("head_dim", "{\"head_dim\": 7}")]
    [InlineData("head_dim", "{\"head_dim\": 2147483646}")]
    [InlineData("rms_norm_eps", "{\"rms_norm_eps\": 0}")]
    [InlineData("rms_norm_eps", "{\"rms_norm_eps\": 1e999}")]
    [InlineData("architectures", "{\"architectures\": [\"MistralForCausalLM\"]}")]
    [InlineData("rope_parameters.rope_theta", "{\"rope_theta\": 1000, \"rope_parameters\": {\"rope_theta\": 10000}}")]
    [InlineData("rope_scaling", "{\"rope_parameters\": {\"rope_theta\": 1}, \"rope_scaling\": {\"type\": \"llama3\", "
        + Stretch + "}}")]
    [InlineData("rope_scaling.high_freq_factor",
        "{\"rope_scaling\": {\"type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 4, "
        + "\"original_max_position_embeddings\": 8192}}")]
    public void AContradictionIsNamed(string field, string fields) => Refused(CheckpointFailure.ConfigFieldValue, field, () => With("llama", fields));

    [Theory]
    [InlineData("model_type", "{\"model_type\": \"gpt2\"}")]
    [InlineData("architectures", "{\"architectures\": [\"LlamaForSequenceClassification\"]}")]
    [InlineData("torch_dtype", "{\"torch_dtype\": \"float8\"}")]
    [InlineData("layer_types", "{\"layer_types\": [\"full_attention\", \"sliding_attention\"]}")]
    public void WhatIsNotKnownIsRefused(string field, string fields) =>
        Refused(CheckpointFailure.ConfigUnsupported, field, () => With("llama", fields));

    [Fact]
    public void ScalingWithoutItsTypeIsNotIgnored() => Refused(CheckpointFailure.ConfigFieldMissing, "rope_scaling.rope_type",
        () => With("llama", "{\"rope_scaling\": {\"factor\": 8.0}}"));

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{\"hidden_size\": 1, \"hidden_size\": 2}")]
    [InlineData("{\"a\": NaN}")]
    [InlineData("{\"a\": \"\\ud800\"}")]
    public void AFileThatIsNotAnObjectIsNamed(string text)
    {
        string path = _files.Text("config.json", text);
        var error = Assert.Throws<CheckpointException>(() => ModelConfig.Read(path));
        Assert.Equal((CheckpointFailure.ConfigNotJson, path), (error.Failure, error.File));
    }

    [Fact]
    public void ExpectedTensorsOfAQwen2()
    {
        var config = With("qwen2", "{\"num_hidden_layers\": 1, \"num_key_value_heads\": 2, \"tie_word_embeddings\": true}");
        Assert.Equal(
        [
            "model.embed_tokens.weight [512, 64]", "model.layers.0.input_layernorm.weight [64]",
            "model.layers.0.self_attn.q_proj.weight [64, 64]", "model.layers.0.self_attn.q_proj.bias [64]",
            "model.layers.0.self_attn.k_proj.weight [16, 64]", "model.layers.0.self_attn.k_proj.bias [16]",
            "model.layers.0.self_attn.v_proj.weight [16, 64]", "model.layers.0.self_attn.v_proj.bias [16]",
            "model.layers.0.self_attn.o_proj.weight [64, 64]", "model.layers.0.post_attention_layernorm.weight [64]",
            "model.layers.0.mlp.gate_proj.weight [172, 64]", "model.layers.0.mlp.up_proj.weight [172, 64]",
            "model.layers.0.mlp.down_proj.weight [64, 172]", "model.norm.weight [64]",
        ], ExpectedTensors.Of(config).Select(t => $"{t.Name} [{string.Join(", ", t.Shape)}]"));
    }

    [Theory]
    [InlineData("model.")]
    [InlineData("")]
    public void CheckNamesTheFirstMissingOrContradictingTensor(string prefix)
    {
        var config = Read(Minimal());
        List<TensorDeclaration> tensors = [.. ExpectedTensors.Of(config).Select(t =>
            new TensorDeclaration(t.Name.Replace("model.", prefix, StringComparison.Ordinal), TensorType.U8, t.Shape))];
        CheckWritten(tensors, config);
        string down = $"{prefix}layers.1.mlp.down_proj.weight";
        int index = tensors.FindIndex(t => t.Name == down);
        tensors[index] = tensors[index] with { Shape = [172, 64] };
        var shape = Assert.Throws<CheckpointException>(() => CheckWritten(tensors, config));
        Assert.Equal((CheckpointFailure.ExpectedShapeDiffers, down), (shape.Failure, shape.Tensor));
        Assert.Contains("found shape [172, 64], expected [64, 172]", shape.Message, StringComparison.Ordinal);
        tensors.RemoveAt(index);
        var missing = Assert.Throws<CheckpointException>(() => CheckWritten(tensors, config));
        Assert.Equal((CheckpointFailure.ExpectedTensorMissing, "model.layers.1.mlp.down_proj.weight"), (missing.Failure, missing.Tensor));
    }

    private void CheckWritten(List<TensorDeclaration> tensors, ModelConfig config)
    {
        using (var writer = CheckpointWriter.Create(_files.Folder, tensors, overwrite: true))
        {
            foreach (var t in tensors) writer.Write(t.Name, new byte[t.Shape.Aggregate(1L, (x, y) => x * y)]);
            writer.Complete();
        }
        using var checkpoint = Checkpoint.OpenStored(_files.Folder);
        ExpectedTensors.Check(checkpoint, config);
    }
}
