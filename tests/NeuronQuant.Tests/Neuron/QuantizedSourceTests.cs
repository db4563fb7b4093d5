using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>
/// The demo model in fp8 with block scales, as DeepSeek writes them, and its twin in which every weight was multiplied out beforehand by this test:
/// through every command the two must be the same model.
/// </summary>
[Collection("notebooks")]
public sealed class QuantizedSourceTests : IDisposable
{
    private const int Block = 128;

    // The positive values of e4m3 by the formula of the OCP specification: (1 + m/8) 2^(e-7), below 2^-6 m/8 2^-6; 0x7F is NaN.
    private static readonly float[] Levels = [.. Enumerable.Range(0, 127).Select(code =>
        (float)(code < 8 ? code / 8.0 * Math.Pow(2, -6) : (1 + code % 8 / 8.0) * Math.Pow(2, code / 8 - 7)))];

    private static readonly string Model = Repository.PathOf("data", "demo-model");

    private readonly TestFiles _files = new();

    public QuantizedSourceTests()
    {
        using var source = Checkpoint.OpenStored(Model);
        var (fp8, twin) = (new List<(TensorDeclaration, byte[])>(), new List<(TensorDeclaration, byte[])>());
        foreach (var tensor in source.Tensors)
        {
            if (ModuleName.OfTensor(tensor.Name, out _) is not { IsLinear: true, Layer: not null })
            {
                var plain = (new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), source.Bytes(tensor, 0, (int)tensor.ByteCount).ToArray());
                fp8.Add(plain);
                twin.Add(plain);
                continue;
            }
            var weights = new float[tensor.ElementCount];
            source.ReadFloats(tensor, 0, weights);
            var (codes, scales, values, blocks) = Encode(weights, (int)tensor.Shape[0], (int)tensor.Shape[1]);
            fp8.Add((new TensorDeclaration(tensor.Name, TensorType.F8E4M3, tensor.Shape), codes));
            fp8.Add((new TensorDeclaration(tensor.Name + "_scale_inv", TensorType.F32, [.. blocks]),
                MemoryMarshal.AsBytes(scales.AsSpan()).ToArray()));
            twin.Add((new TensorDeclaration(tensor.Name, TensorType.BF16, tensor.Shape), values));
        }
        Write(_files.PathOf("fp8"), fp8, """{"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}""");
        Write(_files.PathOf("twin"), twin, null);
    }

    public void Dispose() => _files.Dispose();

    private static (byte[] Codes, float[] Scales, byte[] Values, long[] Blocks) Encode(float[] weights, int rows, int columns)
    {
        int down = (rows + Block - 1) / Block, across = (columns + Block - 1) / Block;
        var (codes, scales, values) = (new byte[weights.Length], new float[down * across], new ushort[weights.Length]);
        for (int i = 0; i < weights.Length; i++)
        {
            ref float scale = ref scales[i / columns / Block * across + i % columns / Block];
            scale = MathF.Max(scale, MathF.Abs(weights[i]) / 448);
        }
        for (int i = 0; i < weights.Length; i++)
        {
            float scale = scales[i / columns / Block * across + i % columns / Block], size = MathF.Abs(weights[i]) / scale;
            int above = Math.Clamp(Array.BinarySearch(Levels, size) is var found && found < 0 ? ~found : found, 0, Levels.Length - 1);
            int code = above > 0 && size - Levels[above - 1] < Levels[above] - size ? above - 1 : above;
            codes[i] = (byte)(code | (weights[i] < 0 ? 0x80 : 0));
            float product = Levels[code] * scale;
            uint bits = BitConverter.SingleToUInt32Bits(weights[i] < 0 ? -product : product);
            values[i] = (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
        }
        return (codes, scales, MemoryMarshal.AsBytes(values.AsSpan()).ToArray(), [down, across]);
    }

    private static void Write(string folder, List<(TensorDeclaration Tensor, byte[] Bytes)> tensors, string? quantization)
    {
        using var writer = CheckpointWriter.Create(folder, tensors.Select(entry => entry.Tensor));
        foreach (var (tensor, bytes) in tensors) writer.Write(tensor.Name, bytes);
        writer.Complete();
        foreach (string file in new[] { "tokenizer.json", "tokenizer_config.json" }) File.Copy(Path.Combine(Model, file), Path.Combine(folder, file));
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(Model, "config.json")))!;
        if (quantization is not null) config["quantization_config"] = JsonNode.Parse(quantization);
        File.WriteAllText(Path.Combine(folder, "config.json"), config.ToJsonString());
    }

    private async Task<JsonNode> Json(params string[] arguments)
    {
        var (code, output, error) =
            await Nq.Run([.. arguments.Select(argument => argument.StartsWith('@') ? _files.PathOf(argument[1..]) : argument), "--json"]);
        Assert.True(code == 0, error + output);
        if (arguments.Contains("@fp8") && arguments[0] != "inspect") Assert.Contains("read from fp8 with ", error, StringComparison.Ordinal);
        return JsonNode.Parse(output)!;
    }

    private byte[] Weights(string folder) => File.ReadAllBytes(Path.Combine(_files.PathOf(folder), "model.safetensors"));

    [Fact]
    public async Task Fp8_is_quantized_audited_and_graded_as_the_model_that_it_is()
    {
        foreach (string model in new[] { "fp8", "twin" })
            foreach (string layout in new[] { "nxd", "fake" })
            {
                await Json("quantize", $"@{model}", "--out", $"@{model}-{layout}", "--layout", layout);
                Assert.Equal(0, (int)(await Json("audit", $"@{model}", $"@{model}-{layout}"))["integers_changed"]!);
            }
        Assert.Equal(Weights("twin-nxd"), Weights("fp8-nxd"));
        Assert.Equal(Weights("twin-fake"), Weights("fp8-fake"));
        var crossed = await Nq.Run(["audit", _files.PathOf("twin"), _files.PathOf("fp8-nxd")]);
        Assert.Equal(0, crossed.Code);
        Assert.Null(JsonNode.Parse(File.ReadAllText(_files.PathOf("fp8-fake/config.json")))!["quantization_config"]);
        string Scores(JsonNode result) => result["scores"]!.ToJsonString();
        var graded = await Json("eval", "@twin", "--limit", "12");
        Assert.Equal(Scores(graded), Scores(await Json("eval", "@fp8", "--limit", "12")));
        Assert.True((int)graded["scores"]![0]!["right"]! >= 6, graded.ToJsonString()); // The demo model solves most; bare codes solve none.
        Assert.Equal(Scores(await Json("eval", "@twin-fake", "--limit", "12")), Scores(await Json("eval", "@fp8-fake", "--limit", "12")));
    }

    [Fact]
    public async Task Every_other_command_sees_the_same_model()
    {
        var (fp8, twin) = (await Json("sensitivity", "@fp8"), await Json("sensitivity", "@twin"));
        Assert.Equal(twin["modules"]!.AsArray().Count, fp8["modules"]!.AsArray().Count);
        foreach (var (ours, theirs) in fp8["modules"]!.AsArray().Zip(twin["modules"]!.AsArray()))
        {
            Assert.Equal((string)theirs!["module"]!, (string)ours!["module"]!);
            // float32 sums in another order of lanes
            Assert.Equal((double)theirs["int8_mse"]!, (double)ours["int8_mse"]!, 1e-5 * (double)theirs["int8_mse"]!);
        }
        Assert.Equal((await Json("select", "@twin", "--average-bits", "9"))["modules_to_not_convert"]!.ToJsonString(),
            (await Json("select", "@fp8", "--average-bits", "9"))["modules_to_not_convert"]!.ToJsonString());
        string[] tuning = ["--calibration", Repository.PathOf("data", "demo-calibration.jsonl"), "--samples", "4", "--sequence-length", "48"];
        foreach (string model in new[] { "fp8", "twin" }) await Json(["gptq", $"@{model}", "--out", $"@{model}-gptq", .. tuning]);
        Assert.Equal(Weights("twin-gptq"), Weights("fp8-gptq"));
        var text = await Nq.Run(["generate", _files.PathOf("fp8"), "--prompt", "Question:", "--max-new-tokens", "8"]);
        Assert.Equal((await Nq.Run(["generate", _files.PathOf("twin"), "--prompt", "Question:", "--max-new-tokens", "8"])).Output, text.Output);
        Assert.Contains("already (fp8)", (await Nq.Run(["plan", _files.PathOf("fp8")])).Error, StringComparison.Ordinal);
        Assert.Contains("F8_E4M3 and BF16 and F32; quantized already (fp8 with block scales of 128 x 128), read as code x scale; head not tied; "
            + "nothing unread", (string)(await Json("inspect", "@fp8"))["summary"]!, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("quantize", "--out", "@out")]
    [InlineData("gptq", "--out", "@out")]
    [InlineData("autoround", "--out", "@out")]
    [InlineData("audit", "@twin")]
    [InlineData("sensitivity")]
    [InlineData("select", "--average-bits", "9")]
    [InlineData("eval", "--limit", "1")]
    [InlineData("generate", "--prompt", "x")]
    [InlineData("compare", "--limit", "1")]
    public async Task A_scheme_that_is_no_product_is_refused_by_every_command_that_needs_weights(string command, params string[] rest)
    {
        var config = JsonNode.Parse(File.ReadAllText(_files.PathOf("twin/config.json")))!;
        config["quantization_config"] = JsonNode.Parse("""{"quant_method": "gptq", "bits": 4, "group_size": 128}""");
        File.WriteAllText(_files.PathOf("twin/config.json"), config.ToJsonString());
        var (code, _, error) =
            await Nq.Run([command, _files.PathOf("twin"),
            .. rest.Select(argument => argument.StartsWith('@') ? _files.PathOf(argument[1..]) : argument)]);
        Assert.Equal(1, code);
        Assert.Contains("\"model.layers.0.self_attn.q_proj.weight\": found weights quantized already: GPTQ (4 bits)", error,
            StringComparison.Ordinal);
        Assert.Contains("Use the original checkpoint", error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_files.PathOf("out")));
        var told = await Nq.Run(["inspect", _files.PathOf("twin")]);
        Assert.Equal(0, told.Code);
        Assert.Contains("quantized already (GPTQ (4 bits)), which no command can read", told.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void The_folder_of_a_quantization_is_a_source_that_says_what_it_is()
    {
        using (var source = Checkpoint.Open(_files.PathOf("twin")))
            NeuronCheckpoint.Write(source, _files.PathOf("q"), QuantizationPlan.Create(source, Format.Int8));
        using var own = Checkpoint.Open(_files.PathOf("q"));
        Assert.Contains(own.Notes, note => note.Contains("a folder that this library quantized (neuronquant.json)", StringComparison.Ordinal));
        Assert.Contains(own.Notes, note => note.StartsWith("read from int8 with a scale per channel: ", StringComparison.Ordinal));
        using var original = Checkpoint.Open(_files.PathOf("twin"));
        Assert.Equal(QuantizationPlan.LinearModules(original), QuantizationPlan.LinearModules(own));
    }
}
