using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

public class VllmServingTests
{
    private static readonly NeuronSetup Corrected = NeuronSetup.Read(Repository.PathOf("data", "neuron", "corrected-config.json"));
    private static readonly ModelConfig Nemo = ModelConfig.Read(Repository.PathOf("data", "mistral-nemo-12b", "config.json"));

    [Fact]
    public void The_command_carries_the_options_under_the_underscore_key()
    {
        var serving = VllmServing.Create(new ServingRequest(Corrected, "/models/it's nemo"));
        string shell = serving.ToShell();
        foreach (string part in new[] { "export UNSAFE_FP8FNCAST=1", "export XLA_HANDLE_SPECIAL_SCALAR=1", "'/models/it'\\''s nemo'",
            "--tensor-parallel-size 2", "--max-num-seqs 1", "--max-model-len 4096", "--num-gpu-blocks-override 1" })
            Assert.Contains(part, shell, StringComparison.Ordinal);
        int start = shell.IndexOf("--additional-config '", StringComparison.Ordinal) + "--additional-config '".Length;
        var sent = JsonNode.Parse(shell[start..shell.LastIndexOf('\'')])!["override_neuron_config"]!.AsObject();
        Assert.True(sent["quantized"]!.GetValue<bool>());
        Assert.Equal(8, sent["modules_to_not_convert"]!.AsArray().Count);
        Assert.Empty(sent["kv_quant_config"]!.AsObject());
        Assert.DoesNotContain("tp_degree", sent.Select(option => option.Key));
        Assert.DoesNotContain("override-neuron-config", shell, StringComparison.Ordinal);
        Assert.Equal("quantized_checkpoints_path", Assert.Single(serving.Findings).Option); // it would be overwritten
    }

    [Fact]
    public void A_compiled_folder_needs_no_overrides_and_refuses_an_fp8_cache()
    {
        var bf16Cache = Corrected with { Config = Corrected.Config.With("kv_quant_config", null).With("kv_cache_quant", false) };
        var serving = VllmServing.Create(new ServingRequest(bf16Cache, "m", "/compiled"));
        Assert.Contains("export NEURON_COMPILED_ARTIFACTS=/compiled", serving.ToShell(), StringComparison.Ordinal);
        Assert.Null(serving.AdditionalConfig);
        Assert.Empty(serving.Findings);
        var compiled = NeuronConfigCheck.Run(bf16Cache with { Config = serving.CompileWith });
        Assert.Equal("on_device_sampling_config", Assert.Single(compiled.Findings).Option); // what the plugin asks for is what fails on some models
        Assert.Equal("kv_quant_config", Assert.Single(VllmServing.Create(new ServingRequest(Corrected, "m", "/compiled")).Findings).Option);
    }

    [Theory]
    [InlineData("2.28.1", "not known")]
    [InlineData("2.29.0", "160")]
    public void Mistral_must_be_renamed(string sdk, string words)
    {
        var serving = VllmServing.Create(new ServingRequest(Corrected with { Sdk = NeuronSdk.Parse(sdk) }, "m"), Nemo);
        Assert.Contains(serving.Findings, finding => finding.Option == "architectures" && finding.Message.Contains(words, StringComparison.Ordinal)
            && finding.Remedy.Contains("LlamaForCausalLM", StringComparison.Ordinal));
        Assert.DoesNotContain(VllmServing.Create(new ServingRequest(Corrected, "m"), Nemo with { Family = ModelFamily.Llama }).Findings, finding =>
            finding.Option == "architectures");
    }
}
