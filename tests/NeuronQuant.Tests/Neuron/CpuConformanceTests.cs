using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>
/// Our folders in the modules of NxD Inference, as tests/python/restated says them again on the real torch with their lines, beside our engine. The
/// formulas there are Hugging Face's, in torch: nothing is shared with the engine.
/// </summary>
[Collection("notebooks")]
public sealed class CpuConformanceTests
{
    private static readonly string Demo = Repository.PathOf("data", "demo-model");

    [Theory]
    [InlineData(false, new string[0])]
    [InlineData(true, new string[0])]
    [InlineData(false, new[] { "lm_head", "layers.0.self_attn", "layers.1.mlp.down_proj" })]
    [InlineData(false, new[] { "layers.1.self_attn.q_proj", "layers.1.self_attn.qkv_proj.q_proj" })]
    public async Task Float_and_quantized_modules_answer_as_the_engine_does(bool tied, string[] keep)
    {
        using var model = new TinyModel(tied: tied);
        var report = await CpuConformance.Run(model.Folder, model.PathOf("c"), Python(), keep, cancellation: TestContext.Current.CancellationToken);
        Assert.True(report.Passed, report.ToDataFrame().ToString());
        Assert.InRange(report.Float.LargestDifference / report.Float.Spread, 0, 1e-5);
        Assert.InRange(report.Quantized.LargestDifference / report.Quantized.Spread, 0, 1e-5);
        Assert.Equal(report.PlannedModules, report.QuantizedModules);
        Assert.InRange(report.QuantizedModules, 9, 15);
    }

    [Theory]
    [InlineData("lm_head.scale")] // Its logits have the same direction, only larger.
    [InlineData("layers.0.self_attn.v_proj.scale")]
    [InlineData("layers.1.mlp.down_proj.scale")]
    public async Task Scales_that_are_one_percent_too_large_are_seen_in_the_logits(string name)
    {
        using var model = new TinyModel();
        var report = await Changed(model, (tensor, bytes) =>
        {
            if (tensor.Name == name)
                foreach (ref float scale in MemoryMarshal.Cast<byte, float>(bytes.AsSpan())) scale *= 1.01f;
            return [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)];
        }, from: Demo);
        Assert.False(report.Passed);
        Assert.InRange(report.Float.LargestDifference / report.Float.Spread, 0, 1e-5); // the other folder is as it was
    }

    [Theory]
    [InlineData("layers.1.mlp.gate_proj.scale")]
    [InlineData("layers.1.mlp.gate_proj.weight")]
    [InlineData("norm.weight")]
    public async Task A_tensor_that_is_not_there_ends_the_strict_load(string name)
    {
        using var model = new TinyModel();
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => Changed(model, (tensor, bytes) =>
            tensor.Name == name ? [] : [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)]));
        Assert.Contains($"Missing key(s) in state_dict: \"{name}\"", error.Traceback, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_trained_model_passes_as_it_is()
    {
        using var model = new TinyModel();
        var report = await Changed(model, (tensor, bytes) => [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)], from: Demo);
        Assert.True(report.Passed, report.ToDataFrame().ToString());
        Assert.InRange(report.Quantized.Spread, 1, 100); // its blocks count, where those of random weights hardly do
    }

    [Fact]
    public async Task Codes_that_would_become_weights_are_refused()
    {
        using var model = new TinyModel();
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => Changed(model, (tensor, bytes) =>
            [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)], ["layers.0.mlp.up_proj"]));
        Assert.Contains("quantized on one side only", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("to_cpu:missing", "has no to_cpu; SDK 2.28.1 has it")]
    [InlineData("to_cpu:refused", "cannot run NeuronLlamaForCausalLM on a CPU")]
    public async Task A_release_that_cannot_is_named(string release, string words)
    {
        using var model = new TinyModel();
        var python = Python() with { Environment = new Dictionary<string, string> { ["FAKE_NXDI"] = release } };
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => CpuConformance.Run(model.Folder, model.PathOf("c"), python));
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_command_says_what_it_proves_and_needs_NxD_Inference()
    {
        using var model = new TinyModel();
        string[] run = ["neuron", "conformance", model.Folder, "--out", model.PathOf("c"), "--python", PythonForTests.InterpreterWithTorch(),
            "--cpu", "--json"];
        var (code, output, errors) = await Nq.Run([.. run, "--stand-in", PythonForTests.Restated]);
        Assert.True(code == 0, output + errors);
        Assert.Contains("nor what a chip computes", (string)JsonNode.Parse(output)!["meaning"]!, StringComparison.Ordinal);
        (code, output, errors) = await Nq.Run(run);
        Assert.Equal(1, code);
        Assert.Contains("'neuronx_distributed_inference' is not installed", output + errors, StringComparison.Ordinal);
        Assert.Equal(2, (await Nq.Run([.. run, "--bytes-only"])).Code);
    }

    private static async Task<CpuReport> Changed(
        TinyModel model, Func<TensorInfo, byte[], IEnumerable<(TensorDeclaration Tensor, byte[] Bytes)>> change, string[]? otherList = null,
        string? from = null)
    {
        using var source = Checkpoint.Open(from ?? model.Folder);
        var plan = QuantizationPlan.Create(source, Format.Int8);
        NeuronCheckpoint.Write(source, model.PathOf("fake"), plan, CheckpointLayout.Fake);
        var record = NeuronCheckpoint.Write(source, model.PathOf("q"), plan);
        string changed = model.Rewrite(model.PathOf("q"), "changed", change);
        if (otherList is not null) record = record with { ModulesToNotConvert = otherList };
        return await CpuConformance.Run(source.Config, model.PathOf("fake"), changed, record, Python(), null, TestContext.Current.CancellationToken);
    }

    private static ChildProcessOptions Python() => new(PythonForTests.InterpreterWithTorch(), ModulePath: [PythonForTests.Restated]);
}
