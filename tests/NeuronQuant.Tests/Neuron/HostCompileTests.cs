using System.Text.Json.Nodes;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>Compiling for a chip that is not here, with the stand-in for the compiler: the target, what is missing, and what is left
/// behind.</summary>
[Collection("notebooks")]
public sealed class HostCompileTests : IDisposable
{
    private readonly TestSession _session = new();

    public void Dispose() => _session.Dispose();

    [Fact]
    public async Task Without_a_device_it_compiles_for_inf2_and_finds_the_graph_again()
    {
        NeedsNoDevice();
        var graph = await HostCompile.Run(_session.Setup, _session.Model.Folder, Options());
        Assert.Equal(("inf2", false, false, true), (graph.Target, graph.HasDevice, graph.Reused, graph.StandIn));
        Assert.Equal("graph for inf2", File.ReadAllText(Path.Combine(graph.Folder, "model.pt"))); // as the stand-in's compiler was told
        Assert.True((await HostCompile.Run(_session.Setup, _session.Model.Folder, Options())).Reused);
    }

    [Theory]
    [InlineData("trn2", "would not load on Inferentia2")]
    [InlineData("inf3", "does not know the chip to compile for")]
    public async Task Another_target_is_refused_before_anything_is_compiled(string target, string words)
    {
        NeedsNoDevice();
        var setup = _session.Setup with { Environment = new Dictionary<string, string> { [HostTarget.Variable] = target } };
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => HostCompile.Run(setup, _session.Model.Folder, Options()));
        Assert.Equal((NeuronFailure.NoTarget, "target"), (error.Failure, error.Step));
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
        _session.AssertNothingLeft(null, null, compiled: false);
    }

    [Fact]
    public async Task A_bridge_that_was_told_no_target_says_so_itself()
    {
        NeedsNoDevice();
        await using var host = await PythonForTests.Host();
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => host.Call("target", []));
        Assert.Equal(NeuronFailure.NoTarget, error.Failure);
        Assert.Contains("NEURON_PLATFORM_TARGET_OVERRIDE=inf2", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_missing_compiler_is_named_and_one_beside_the_interpreter_is_found()
    {
        using var layout = new PythonLayout(PythonForTests.Interpreter());
        string python = await layout.Venv("venv", copies: false);
        var options = Options(python) with { StandIn = "" };
        var child = options.ToChildProcess() with { ModulePath = [PythonForTests.Fake] };
        async Task<NeuronSession> Start() => await _session.Start(await ChildProcessHost.Start(child));
        await using (var session = await Start())
        {
            var error = await Assert.ThrowsAsync<NeuronRunException>(() => session.Compile());
            Assert.Equal(NeuronFailure.CompilerMissing, error.Failure);
            Assert.Contains("environment.yml", error.Message, StringComparison.Ordinal);
            _session.AssertNothingLeft(null, null, compiled: false);
        }
        File.Copy(Path.Combine(PythonForTests.Fake, "neuronx-cc"), layout.PathOf("venv", "bin", "neuronx-cc"));
        await using var again = await Start();
        Assert.False(await again.Compile());
    }

    [Theory]
    [InlineData("compile:ncc", NeuronFailure.CompileFailed, "NCC_IXCG856")]
    [InlineData("compile:nothing", NeuronFailure.CallFailed, "holds no model.pt")]
    public async Task A_compiler_that_fails_is_named_and_leaves_no_graph(string trouble, NeuronFailure failure, string words)
    {
        string python = PythonForTests.InterpreterWith(trouble, _session.Model.PathOf("python3"));
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => HostCompile.Run(_session.Setup, _session.Model.Folder, Options(python)));
        Assert.Equal(failure, error.Failure);
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
        _session.AssertNothingLeft(null, null, compiled: false);
    }

    [Fact]
    public async Task The_command_compiles_refuses_and_says_what_it_proves()
    {
        string config = _session.Model.PathOf("config.json"), fake = PythonForTests.Fake;
        File.WriteAllText(config, new JsonObject
        {
            ["neuron_config"] = _session.Setup.Config.ToJsonObject(),
            ["environment"] = new JsonObject()
        }.ToJsonString());
        string[] run = ["neuron", "compile", config, "--model", _session.Model.Folder, "--out", _session.Model.PathOf("graphs"), "--python",
            PythonForTests.Interpreter(), "--json"];
        var (code, output, errors) = await Nq.Run([.. run, "--stand-in", fake]);
        Assert.True(code == 0, output + errors);
        Assert.Contains("reads no weight", (string)JsonNode.Parse(output)!["meaning"]!, StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine((string)JsonNode.Parse(output)!["folder"]!, "model.pt")));
        (code, output, errors) = await Nq.Run(run);
        Assert.Equal(1, code);
        Assert.Contains("neuronx_distributed_inference is not installed", output + errors, StringComparison.Ordinal);
        File.WriteAllText(config, "{\"quantized\": true}");
        Assert.Equal(1, (await Nq.Run([.. run, "--stand-in", fake])).Code);
        Assert.Equal(1, (await Nq.Run([.. run[..4], _session.Model.Root, .. run[5..], "--stand-in", fake])).Code); // not a model's folder
    }

    private DeviceOptions Options(string? python = null) =>
        new(python ?? PythonForTests.Interpreter(), _session.Model.PathOf("cache"), PythonForTests.Fake);

    private static void NeedsNoDevice() => Assert.SkipWhen(HostTarget.HasDevice, "this machine has a Neuron device, which answers for the target");
}
