using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>Families that are refused: by name, with what NxD Inference 2.28 has for them, in every command that reads a model.</summary>
[Collection("notebooks")]
public sealed class OtherFamiliesTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("neuronquant-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    // The classes are those of the list of model types at SDK 2.28 (nxdi cd3abf3, utils/constants.py), and of its folders, as they were read.
    [Theory]
    [InlineData("mixtral", "MixtralForCausalLM", "NeuronMixtralForCausalLM", true)]
    [InlineData("qwen2_moe", "Qwen2MoeForCausalLM", "is not a family of NxD Inference 2.28", true)]
    [InlineData("qwen3_moe", "Qwen3MoeForCausalLM", "NeuronQwen3MoeForCausalLM", true)]
    [InlineData("deepseek_v3", "DeepseekV3ForCausalLM", "an attention module", true)]
    [InlineData("dbrx", "DbrxForCausalLM", "NeuronDbrxForCausalLM", true)]
    [InlineData("llama4", "Llama4ForConditionalGeneration", "NeuronLlama4ForCausalLM", true)]
    [InlineData("gpt_oss", "GptOssForCausalLM", "NeuronGptOssForCausalLM", true)]
    [InlineData("phimoe", "PhiMoEForCausalLM", "contrib/models/Phi-3.5-MoE-instruct", true)]
    [InlineData("gemma", "GemmaForCausalLM", "contrib/models/gemma-2b-it", false)]
    [InlineData("gemma3_text", "Gemma3ForCausalLM", "NeuronGemma3ForCausalLM", false)]
    [InlineData("phi3", "Phi3ForCausalLM", "contrib/models/Phi-3-mini-4k-instruct", false)]
    public void A_family_is_refused_with_what_is_known_of_it(string type, string architecture, string words, bool experts)
    {
        string? known = OtherFamilies.Known(type, architecture);
        Assert.Contains(words, known, StringComparison.Ordinal);
        Assert.Equal(experts, known.Contains("a mixture of experts", StringComparison.Ordinal));
        foreach (var (byType, byName) in new[] { (type, architecture), (type, null), (null, architecture) })
        {
            var error = Assert.Throws<CheckpointException>(() => ModelConfig.Read(Config(byType, byName)));
            Assert.Equal(CheckpointFailure.ConfigUnsupported, error.Failure);
            Assert.Contains(words, error.Message, StringComparison.Ordinal);
            Assert.Contains(byType ?? byName!, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_family_that_nothing_is_known_of_is_refused_without_a_claim()
    {
        var error = Assert.Throws<CheckpointException>(() => ModelConfig.Read(Config("mamba9", null)));
        Assert.Equal(CheckpointFailure.ConfigUnsupported, error.Failure);
        Assert.DoesNotContain("NxD Inference", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("inspect", "MODEL")]
    [InlineData("plan", "MODEL")]
    [InlineData("quantize", "MODEL", "--out", "OUT")]
    [InlineData("audit", "MODEL", "MODEL")]
    [InlineData("sensitivity", "MODEL")]
    [InlineData("neuron", "config", "MODEL")]
    [InlineData("neuron", "check", "CONFIG", "--model", "MODEL")]
    [InlineData("neuron", "serve-config", "CONFIG", "--model", "MODEL")]
    [InlineData("neuron", "compile", "CONFIG", "--model", "MODEL", "--out", "OUT", "--python", "/bin/true")]
    [InlineData("neuron", "conformance", "MODEL", "--out", "OUT", "--bytes-only", "--python", "/bin/true")]
    [InlineData("neuron", "conformance", "MODEL", "--out", "OUT", "--cpu", "--python", "/bin/true")]
    [InlineData("generate", "MODEL", "--prompt", "x")]
    public async Task Every_command_that_reads_a_model_says_it(params string[] arguments)
    {
        Config("mixtral", "MixtralForCausalLM");
        using (var writer = CheckpointWriter.Create(_folder, [new TensorDeclaration("model.layers.0.block_sparse_moe.experts.0.w1.weight", TensorType.BF16, [2, 2])]))
        {
            writer.Write("model.layers.0.block_sparse_moe.experts.0.w1.weight", new byte[8]);
            writer.Complete();
        }
        File.WriteAllText(Path.Combine(_folder, "neuron.json"), new JsonObject { ["tp_degree"] = 2, ["torch_dtype"] = "bfloat16" }.ToJsonString());
        string Place(string word) => word switch { "MODEL" => _folder, "OUT" => Path.Combine(_folder, "out"), "CONFIG" => Path.Combine(_folder, "neuron.json"), _ => word };
        var (code, output, errors) = await Nq.Run([.. arguments.Select(Place)]);
        Assert.Equal(1, code);
        Assert.Contains("NeuronMixtralForCausalLM", output + errors, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Path.Combine(_folder, "out")));
    }

    private string Config(string? type, string? architecture)
    {
        var config = new JsonObject { ["hidden_size"] = 32, ["num_attention_heads"] = 4, ["num_hidden_layers"] = 2, ["vocab_size"] = 64 };
        if (type is not null) config["model_type"] = type;
        if (architecture is not null) config["architectures"] = new JsonArray(architecture);
        File.WriteAllText(Path.Combine(_folder, "config.json"), config.ToJsonString());
        return Path.Combine(_folder, "config.json");
    }
}
