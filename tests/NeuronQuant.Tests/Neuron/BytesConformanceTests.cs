using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>
/// Our bytes beside those of the real torch, by NxD's quantization functions as tests/python/restated says them again with their lines: a tied
/// and an untied model, both granularities, every float type of a source.
/// </summary>
[Collection("notebooks")]
public sealed class BytesConformanceTests
{
    [Theory]
    [InlineData(false, TensorType.BF16, Granularity.PerChannelSymmetric)]
    [InlineData(true, TensorType.BF16, Granularity.PerChannelSymmetric)]
    [InlineData(false, TensorType.F32, Granularity.PerChannelSymmetric)]
    [InlineData(false, TensorType.F16, Granularity.PerTensorSymmetric)]
    public async Task Every_byte_is_that_of_torch(bool tied, TensorType type, Granularity granularity)
    {
        using var model = new TinyModel(type, tied);
        var report = await BytesConformance.Run(model.Folder, model.PathOf("q"), Python(), granularity: granularity, cancellation: TestContext.Current.CancellationToken);
        Assert.True(report.Bytes.Equal, $"{string.Join("; ", report.Bytes.Differences)}");
        Assert.Equal(2 * ((TinyModel.Layers * 7) + (tied ? 0 : 1)), report.Bytes.Tensors); // a weight and a scale each
    }

    [Fact]
    public async Task One_changed_byte_of_a_folder_is_found_and_named()
    {
        using var model = new TinyModel();
        await BytesConformance.Run(model.Folder, model.PathOf("q"), Python(), cancellation: TestContext.Current.CancellationToken);
        string changed = model.Rewrite(model.PathOf("q"), "changed", (tensor, bytes) =>
        {
            if (tensor.Name == "layers.1.mlp.down_proj.scale") bytes[4] ^= 1;
            return [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)];
        });
        await using var host = await ChildProcessHost.Start(Python(), TestContext.Current.CancellationToken);
        var answer = await host.Call("conformance_bytes", new JsonObject
        {
            ["model_path"] = model.Folder,
            ["folder"] = changed,
            ["quantization_type"] = "per_channel_symmetric",
            ["quantization_dtype"] = "int8",
            ["modules_to_not_convert"] = new JsonArray(),
        }, null, TestContext.Current.CancellationToken);
        var difference = Assert.Single(answer["differences"]!.AsArray())!;
        Assert.Equal(("layers.1.mlp.down_proj.scale", $"1 of {4 * TinyModel.Hidden} bytes"), ((string)difference["tensor"]!, (string)difference["difference"]!));
    }

    [Fact]
    public async Task The_command_passes_on_a_tied_and_an_untied_model_and_needs_neuronx_distributed()
    {
        foreach (bool tied in new[] { true, false })
        {
            using var model = new TinyModel(tied: tied);
            string[] run = ["neuron", "conformance", model.Folder, "--out", model.PathOf("c"), "--python", PythonForTests.InterpreterWithTorch(), "--bytes-only", "--json"];
            var (code, output, errors) = await Nq.Run([.. run, "--stand-in", PythonForTests.Restated]);
            Assert.True(code == 0, output + errors);
            Assert.True((bool)JsonNode.Parse(output)!["passed"]!);
            (code, output, errors) = await Nq.Run(run);
            Assert.Equal(1, code);
            Assert.Contains("'neuronx_distributed' is not installed", output + errors, StringComparison.Ordinal);
        }
    }

    private static ChildProcessOptions Python() => new(PythonForTests.InterpreterWithTorch(), ModulePath: [PythonForTests.Restated]);
}
