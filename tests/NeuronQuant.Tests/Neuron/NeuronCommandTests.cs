using System.Text.Json.Nodes;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>The commands: exit codes, and JSON that holds what the table shows.</summary>
[Collection("notebooks")]
public class NeuronCommandTests
{
    private static readonly string Nemo = Repository.PathOf("data", "mistral-nemo-12b");

    [Theory]
    [InlineData("blog-config.json", "2.28.1", 0, 2)]
    [InlineData("corrected-config.json", "2.28.1", 0, 0)]
    [InlineData("corrected-config.json", "2.30.0", 1, 1)]
    public async Task Check_counts_findings_and_fails_on_errors(string file, string sdk, int code, int findings)
    {
        var (found, output) = await Run("neuron", "check", Repository.PathOf("data", "neuron", file), "--model", Nemo, "--sdk", sdk, "--json");
        Assert.Equal(code, found);
        var report = JsonNode.Parse(output)!;
        Assert.Equal((code == 0, findings), ((bool)report["passed"]!, report["findings"]!.AsArray().Count));
        Assert.Equal(code, (await Run("neuron", "check", Repository.PathOf("data", "neuron", file), "--model", Nemo, "--sdk", sdk)).Code);
    }

    [Fact]
    public async Task Plan_gives_the_arithmetic_and_fails_where_it_does_not_fit()
    {
        var (code, output) = await Run("plan", Nemo, "--instance", "inf2.8xlarge", "--format", "bf16", "--batch", "8", "--kv", "fp8", "--json");
        var plan = JsonNode.Parse(output)!;
        Assert.Equal((0, 12_247_782_400, 2L * 12_247_782_400), (code, (long)plan["parameters"]!, (long)plan["weights"]!["total"]!));
        Assert.Equal(2.5 * (1L << 30), (double)plan["cache_bytes"]!);
        Assert.Equal(3, plan["recorded"]!.AsArray().Count);
        Assert.Equal(1, (await Run("plan", Nemo, "--tp", "1", "--format", "bf16")).Code);
        Assert.Equal(1, (await Run("plan", Nemo, "--instance", "inf2.xlarge")).Code);
        Assert.Equal(2, (await Run("plan", Nemo, "--format", "int4")).Code);
    }

    [Fact]
    public async Task Serve_config_prints_the_command_and_fails_for_what_the_plugin_cannot_load()
    {
        var (code, output) = await Run("neuron", "serve-config", Repository.PathOf("data", "neuron", "corrected-config.json"), "--model", Nemo,
            "--json");
        var serving = JsonNode.Parse(output)!;
        Assert.Equal((1, false), (code, (bool)serving["works"]!)); // Mistral on 2.28
        Assert.StartsWith("export ", (string)serving["command"]!, StringComparison.Ordinal);
        Assert.True((bool)serving["additional_config"]!["override_neuron_config"]!["quantized"]!);
    }

    [Fact]
    public async Task The_script_is_Python_that_runs_against_the_fake()
    {
        using var model = new TinyModel();
        var setup = NeuronSetup.Of(NeuronConfig.Unquantized().With("seq_len", 64).With("max_context_length", 32));
        string path = model.PathOf("run.py"), script = NeuronScript.Of(setup, model.Folder, model.PathOf("compiled"));
        Assert.Contains("UNSAFE_FP8FNCAST", NeuronScript.Of(NeuronSetup.Read(Repository.PathOf("data", "neuron", "corrected-config.json")), "m",
            "c"), StringComparison.Ordinal);
        File.WriteAllText(path, $"""
            import sys, os
            sys.path.insert(0, {JsonValue.Create(PythonForTests.Fake).ToJsonString()})
            os.chdir({JsonValue.Create(model.Root).ToJsonString()})
            os.environ["{HostTarget.Variable}"] = "inf2"  # no device answers here
            {script}
            """);
        var (code, output) = await PythonForTests.Run(PythonForTests.Interpreter(), "-B", path);
        Assert.True(code == 0, output);
        Assert.Contains("The answer is 7", output, StringComparison.Ordinal);
        Assert.True(File.Exists(model.PathOf("benchmark_report.json")));
    }

    [Fact]
    public async Task Conformance_passes_on_equal_bytes_and_fails_on_one_that_differs()
    {
        using var model = new TinyModel();
        string demo = Repository.PathOf("data", "demo-model"), fake = PythonForTests.Fake;
        var (code, output) = await Run("neuron", "conformance", demo, "--out", model.PathOf("c"), "--python", PythonForTests.Interpreter(),
            "--stand-in", fake, "--json");
        Assert.Equal((0, true), (code, (bool)JsonNode.Parse(output)!["stand_in"]!));
        Assert.InRange((double)JsonNode.Parse(output)!["logits"]!["largest_difference"]!, 0, 1e-3); // The stand-in multiplies in plain Python.
        string differs = PythonForTests.InterpreterWith("conformance:differ", model.PathOf("python3"));
        (code, output) = await Run("neuron", "conformance", demo, "--out", model.PathOf("c"), "--python", differs, "--stand-in", fake, "--json");
        Assert.Equal((1, 1), (code, JsonNode.Parse(output)!["bytes"]!["differences"]!.AsArray().Count));
        Assert.Equal(1, (await Run("neuron", "conformance", demo, "--out", model.PathOf("c"), "--python", model.PathOf("absent"))).Code);
        Assert.Equal(2, (await Run("neuron", "conformance", demo, "--out", model.PathOf("c"), "--python", "none")).Code);
    }

    private static async Task<(int Code, string Output)> Run(params string[] arguments)
    {
        var (code, output, _) = await Nq.Run(arguments);
        return (code, output);
    }
}
