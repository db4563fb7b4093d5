using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
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
    public async Task Every_byte_of_int8_and_of_both_8_bit_floats_is_that_of_torch(bool tied, TensorType type, Granularity granularity)
    {
        using var model = new TinyModel(type, tied);
        var report = await BytesConformance.Run(model.Folder, model.PathOf("q"), Python(), granularity: granularity,
            cancellation: TestContext.Current.CancellationToken);
        Assert.Equal(["int8", "f8e4m3", "f8e5m2"], report.Formats.Select(format => format.Format));
        foreach (var (format, bytes) in report.Formats)
        {
            Assert.True(bytes.Equal, $"{format}: {string.Join("; ", bytes.Differences)}");
            Assert.Equal(2 * ((TinyModel.Layers * 7) + (tied ? 0 : 1)), bytes.Tensors); // a weight and a scale each
        }
    }

    // Rows whose largest value is the format's bound have scale 1, so that a weight is rounded as it stands: every value between two codes, in
    // both signs, with the code itself and both zeros; and a row of zeros, whose scale is the least one.
    [Theory]
    [InlineData(Format.F8E4M3, 0x77)]
    [InlineData(Format.F8E5M2, 0x7B)]
    public async Task Every_code_and_every_tie_between_two_is_that_of_torch(Format format, int largest)
    {
        Func<byte, float> decode = format == Format.F8E4M3 ? Float8E4M3.Decode : Float8E5M2.Decode;
        float[] values = [.. Enumerable.Range(0, largest).SelectMany(code =>
            new[] { decode((byte)code), (decode((byte)code) + decode((byte)(code + 1))) / 2 })];
        values = [.. values, .. values.Select(value => -value)];
        using var model = new TinyModel(TensorType.F32);
        int next = 0;
        string folder = model.Rewrite(model.Folder, "ties", (tensor, bytes) =>
        {
            if (tensor.Name.EndsWith("_proj.weight", StringComparison.Ordinal) && tensor.Shape[1] == TinyModel.Hidden)
            {
                var weights = MemoryMarshal.Cast<byte, float>(bytes.AsSpan());
                for (int i = 0; i < weights.Length; i++)
                    weights[i] = i < TinyModel.Hidden ? 0 : i % TinyModel.Hidden == 0 ? decode((byte)largest) : values[next++ % values.Length];
            }
            return [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)];
        });
        var report = await BytesConformance.Run(folder, model.PathOf("q"), Python(), [format], cancellation: TestContext.Current.CancellationToken);
        Assert.True(next > values.Length, "every value stands in some row");
        Assert.True(report.Equal, string.Join("; ", report.Formats[0].Bytes.Differences));
    }

    [Fact]
    public async Task A_bias_that_NxD_loses_in_fp8_is_no_difference_and_one_that_it_keeps_in_int8_is_none_either()
    {
        using var model = new TinyModel();
        string folder = model.Rewrite(model.Folder, "biased", (tensor, bytes) =>
        {
            var same = (new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes);
            if (!tensor.Name.EndsWith("q_proj.weight", StringComparison.Ordinal)) return [same];
            return [same, (new TensorDeclaration(tensor.Name.Replace("weight", "bias", StringComparison.Ordinal), tensor.Type, [tensor.Shape[0]]),
                new byte[2 * tensor.Shape[0]])];
        });
        File.WriteAllText(Path.Combine(folder, "config.json"), File.ReadAllText(Path.Combine(folder, "config.json"))
            .Replace("LlamaForCausalLM", "Qwen2ForCausalLM", StringComparison.Ordinal).Replace("\"llama\"", "\"qwen2\"", StringComparison.Ordinal));
        var report = await BytesConformance.Run(folder, model.PathOf("q"), Python(), cancellation: TestContext.Current.CancellationToken);
        Assert.All(report.Formats, format => Assert.True(format.Bytes.Equal, $"{format.Format}: {string.Join("; ", format.Bytes.Differences)}"));
    }

    [Theory]
    [InlineData("int8", "layers.1.mlp.down_proj.scale")]
    [InlineData("f8e4m3", "layers.0.self_attn.k_proj.weight")]
    [InlineData("f8e5m2", "lm_head.weight")]
    public async Task One_changed_byte_of_a_folder_is_found_and_named(string format, string name)
    {
        using var model = new TinyModel();
        await BytesConformance.Run(model.Folder, model.PathOf("q"), Python(), [FormatNames.Parse(format)],
            cancellation: TestContext.Current.CancellationToken);
        int length = 0;
        string changed = model.Rewrite(Path.Combine(model.PathOf("q"), format), "changed", (tensor, bytes) =>
        {
            if (tensor.Name == name) bytes[4] ^= 1;
            if (tensor.Name == name) length = bytes.Length;
            return [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)];
        });
        await using var host = await ChildProcessHost.Start(Python(), TestContext.Current.CancellationToken);
        var answer = await host.Call("conformance_bytes", new JsonObject
        {
            ["model_path"] = model.Folder,
            ["folder"] = changed,
            ["quantization_type"] = "per_channel_symmetric",
            ["quantization_dtype"] = format,
            ["modules_to_not_convert"] = new JsonArray(),
        }, null, TestContext.Current.CancellationToken);
        var difference = Assert.Single(answer["differences"]!.AsArray())!;
        Assert.Equal((name, $"1 of {length} bytes"), ((string)difference["tensor"]!, (string)difference["difference"]!));
    }

    [Fact]
    public async Task The_command_passes_on_a_tied_and_an_untied_model_and_needs_neuronx_distributed()
    {
        foreach (bool tied in new[] { true, false })
        {
            using var model = new TinyModel(tied: tied);
            string[] run = ["neuron", "conformance", model.Folder, "--out", model.PathOf("c"), "--python", PythonForTests.InterpreterWithTorch(),
                "--bytes-only", "--json"];
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
