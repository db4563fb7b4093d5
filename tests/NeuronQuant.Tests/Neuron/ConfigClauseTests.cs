using System.Text.Json.Nodes;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>Rules with several clauses, one case for each: take any clause away and a case fails.</summary>
public class ConfigClauseTests
{
    [Theory]
    [InlineData("cp_degree")]
    [InlineData("attention_dp_degree")]
    public void Under_context_or_attention_data_parallel_a_list_that_names_attention_no_longer_means_the_same(string degree)
    {
        var config = NeuronConfig.Of(new JsonObject
        {
            ["quantized"] = true,
            ["quantized_checkpoints_path"] = "q",
            ["quantization_type"] = "per_channel_symmetric",
            ["modules_to_not_convert"] = new JsonArray("layers.1.self_attn"),
            ["tp_degree"] = 4,
            [degree] = 2,
        });
        Assert.Contains(Named(config), message => message.Contains("cte_qkv_proj", StringComparison.Ordinal));
        Assert.DoesNotContain(Named(config.With(degree, 1)), message => message.Contains("cte_qkv_proj", StringComparison.Ordinal));
        Assert.DoesNotContain(Named(config.With("modules_to_not_convert", new JsonArray("lm_head"))), message =>
            message.Contains("cte_qkv_proj", StringComparison.Ordinal));

        static IEnumerable<string> Named(NeuronConfig config) =>
            NeuronConfigCheck.Run(NeuronSetup.Of(config, "inf2.48xlarge")).Errors.Select(finding => finding.Message);
    }

    [Theory]
    [InlineData(false, "int8", true)]
    [InlineData(true, "int8", true)]
    [InlineData(true, "f8e4m3", false)] // the flag comes with these weights as well
    [InlineData(false, "f8e4m3", true)]
    public void An_fp8_cache_needs_the_compiler_flag_of_kv_cache_quant_or_of_f8e4m3_weights(bool quantized, string dtype, bool missing)
    {
        var config = NeuronConfig.Unquantized().With("quantized", quantized).With("quantized_checkpoints_path", "q").With("quantization_dtype", dtype)
            .With("quantization_type", "per_channel_symmetric").With("kv_quant_config", new JsonObject());
        Assert.Equal(missing, NeuronConfigCheck.Run(NeuronSetup.Of(config, "inf2.8xlarge")).Errors.Any(finding =>
            finding.Option == "kv_quant_config"));
        Assert.DoesNotContain(NeuronConfigCheck.Run(NeuronSetup.Of(config.With("kv_cache_quant", true), "inf2.8xlarge")).Errors, finding =>
            finding.Option == "kv_quant_config");
    }
}
