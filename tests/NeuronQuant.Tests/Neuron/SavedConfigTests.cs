using System.Text.Json.Nodes;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>A neuron_config.json written as Python's json.dumps(indent=2, sort_keys=True) does, with Infinity and derived fields, beside
/// options.</summary>
[Collection("notebooks")]
public sealed class SavedConfigTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("neuronquant-").FullName;

    private static readonly NeuronConfig Options = NeuronConfig.Of((JsonObject)JsonNode.Parse("""
        {"quantized": true, "quantized_checkpoints_path": "/moved", "quantization_dtype": "int8", "quantization_type": "per_channel_symmetric",
         "modules_to_not_convert": ["lm_head", "layers.1.mlp"], "torch_dtype": "torch.bfloat16", "tp_degree": 2, "kv_quant_config": {}}
        """)!);

    public SavedConfigTests() => File.WriteAllText(Path.Combine(_folder, "neuron_config.json"), """
        {
          "hidden_size": 64,
          "neuron_config": {
            "is_prefill_stage": null,
            "kv_cache_tiling": false,
            "kv_quant_config": {
              "direct_cast": true,
              "quant_dtype": "float8_e4m3fn"
            },
            "modules_to_not_convert": [
              "layers.1.mlp",
              "lm_head"
            ],
            "quantization_dtype": "int8",
            "quantization_type": "per_channel_symmetric",
            "quantize_clamp_bound": Infinity,
            "quantized": true,
            "quantized_checkpoints_path": "/there",
            "tile_cc": false,
            "torch_dtype": "bfloat16",
            "tp_degree": 2
          }
        }
        """);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void What_NxDI_derives_and_its_infinity_are_left_out_and_nothing_differs()
    {
        var saved = SavedConfig.Read(_folder);
        Assert.DoesNotContain(saved.Names, name => name is "tile_cc" or "kv_cache_tiling" or "is_prefill_stage" or "quantize_clamp_bound");
        Assert.Empty(SavedConfig.Compare(Options, _folder));
        Assert.Empty(SavedConfig.Compare(Options.With("no_option", 3), _folder)); // The check names it, and no graph has it.
    }

    [Theory]
    [InlineData("modules_to_not_convert", """["lm_head"]""", "other exclusions")]
    [InlineData("tp_degree", "4", "compiled with 2")]
    [InlineData("quantization_dtype", "\"f8e4m3\"", "compiled with int8")]
    [InlineData("quantized", "false", "compiled with true")]
    [InlineData("batch_size", "3", "not set")]
    public void Each_difference_is_an_error_that_names_the_option(string name, string value, string words)
    {
        var found = Assert.Single(SavedConfig.Compare(Options.With(name, JsonNode.Parse(value)), _folder));
        Assert.Equal((ConfigSeverity.Error, name), (found.Severity, found.Option));
        Assert.Contains(words, found.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_command_compares_and_a_folder_that_is_not_compiled_is_refused()
    {
        string config = Path.Combine(_folder, "options.json");
        File.WriteAllText(config, Options.With("tp_degree", 4).ToJson());
        var (code, output, _) = await Nq.Run(["neuron", "check", config, "--compiled", _folder, "--json"]);
        Assert.Equal(1, code);
        Assert.Contains("compiled with 2", output, StringComparison.Ordinal);
        Assert.Throws<NeuronException>(() => SavedConfig.Read(Path.Combine(_folder, "absent")));
    }
}
