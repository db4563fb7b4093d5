using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>
/// The integers that change between a GPU's formats and NxDI's, both ways. What should change is counted here in plain loops: their codes, their value
/// in bf16, and NxDI's rounding of it.
/// </summary>
[Collection("notebooks")] // They take over the console as well.
public sealed class IntegerChangesTests : IDisposable
{
    private static readonly string Model = Repository.PathOf("data", "demo-model");

    private readonly TestFiles _files = new();

    public void Dispose() => _files.Dispose();

    // bf16 by its bits, ties to even.
    private static float Bf16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return BitConverter.UInt32BitsToSingle((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000);
    }

    // What NxDI makes of a row: w * (1 / (absmax / 127)), to the nearest, ties to even.
    private static int[] ByNxdi(float[] row)
    {
        float inverse = 1 / MathF.Max(row.Max(MathF.Abs) / 127, 1.1920929e-07f);
        return [.. row.Select(w => (int)Math.Clamp(MathF.Round(w * inverse, MidpointRounding.ToEven), -127, 127))];
    }

    private static (float[] Values, int Rows, int Columns) Weight(Checkpoint checkpoint, TensorInfo tensor)
    {
        var values = new float[tensor.ElementCount];
        checkpoint.ReadFloats(tensor, 0, values);
        return (values, (int)tensor.Shape[0], (int)tensor.Shape[1]);
    }

    // Another tool's folder: int8 per channel on absmax / 127.5 with bf16 scales, as llm-compressor writes it. Returns the count of each module.
    private Dictionary<string, long> Theirs(string folder)
    {
        using var source = Checkpoint.OpenStored(Model);
        var (tensors, expected) = (new List<(TensorDeclaration Tensor, byte[] Bytes)>(), new Dictionary<string, long>());
        foreach (var tensor in source.Tensors)
        {
            if (ModuleName.OfTensor(tensor.Name, out _) is not { IsLinear: true, Layer: not null } module)
            {
                tensors.Add((new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), source.Bytes(tensor, 0, (int)tensor.ByteCount).ToArray()));
                continue;
            }
            var (weights, rows, columns) = Weight(source, tensor);
            var (codes, scales, changed) = (new sbyte[weights.Length], new ushort[rows], 0L);
            for (int row = 0; row < rows; row++)
            {
                float[] line = weights[(row * columns)..((row + 1) * columns)];
                float scale = Bf16(line.Max(MathF.Abs) / 127.5f);
                int[] before = [.. line.Select(w => (int)Math.Clamp(MathF.Round(w / scale), -128, 127))];
                int[] after = ByNxdi([.. before.Select(code => Bf16(code * scale))]);
                for (int i = 0; i < columns; i++)
                {
                    codes[row * columns + i] = (sbyte)before[i];
                    if (before[i] != after[i]) changed++;
                }
                scales[row] = (ushort)(BitConverter.SingleToUInt32Bits(scale) >> 16);
            }
            expected[module.Name] = changed;
            tensors.Add((new TensorDeclaration(tensor.Name, TensorType.I8, tensor.Shape), MemoryMarshal.AsBytes(codes.AsSpan()).ToArray()));
            tensors.Add((new TensorDeclaration(tensor.Name + "_scale", TensorType.BF16, [rows, 1]), MemoryMarshal.AsBytes(scales.AsSpan()).ToArray()));
        }
        using var writer = CheckpointWriter.Create(folder, tensors.Select(entry => entry.Tensor));
        foreach (var (tensor, bytes) in tensors) writer.Write(tensor.Name, bytes);
        writer.Complete();
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(Model, "config.json")))!;
        config["quantization_config"] = JsonNode.Parse("""{"quant_method": "compressed-tensors", "format": "int-quantized", "ignore": ["lm_head"]}""");
        File.WriteAllText(Path.Combine(folder, "config.json"), config.ToJsonString());
        return expected;
    }

    private static async Task<(JsonElement Json, string Error)> Quantize(string model, string output, params string[] options)
    {
        var (code, found, error) = await Nq.Run(["quantize", model, "--out", output, "--json", .. options]);
        Assert.True(code == 0, error);
        return (JsonDocument.Parse(found).RootElement, error);
    }

    private static Dictionary<string, long?> Counts(JsonElement modules) => modules.EnumerateArray().ToDictionary(module => module.GetProperty("module").GetString()!,
        module => module.GetProperty("changed").ValueKind == JsonValueKind.Null ? (long?)null : module.GetProperty("changed").GetInt64());

    [Theory]
    [InlineData("nxd")]
    [InlineData("fake")]
    [InlineData("auto-round")]
    [InlineData("compressed-tensors")]
    public async Task Import_of_theirs_counts_the_integers_that_change(string layout)
    {
        var expected = Theirs(_files.PathOf("theirs"));
        Assert.All(expected, pair => Assert.True(pair.Value > 0, pair.Key));
        var changes = (await Quantize(_files.PathOf("theirs"), _files.PathOf("ours"), "--layout", layout)).Json.GetProperty("source_integers");
        Assert.Equal(expected.ToDictionary(pair => pair.Key, pair => (long?)pair.Value), Counts(changes.GetProperty("modules")));
        Assert.Equal(expected.Values.Sum(), changes.GetProperty("changed").GetInt64());
        var said = await Nq.Run(["quantize", _files.PathOf("theirs"), "--out", _files.PathOf("again"), "--layout", layout]);
        Assert.Contains($"{expected.Values.Sum()} of {changes.GetProperty("weights").GetInt64()} integers of the source", said.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("compressed-tensors", "nxd")]
    [InlineData("compressed-tensors", "half")]
    [InlineData("auto-round", "nxd")]
    [InlineData("auto-round", "autoround")] // Negative scales.
    public async Task Export_of_ours_and_the_way_back_count_the_same(string layout, string name)
    {
        var export = (await Quantize(Model, _files.PathOf("gpu"), "--layout", layout, "--grid", name)).Json;
        Assert.Equal(JsonValueKind.Null, export.GetProperty("source_integers").ValueKind); // The source has none.
        var expected = new Dictionary<string, long?>();
        using (var source = Checkpoint.Open(Model))
            foreach (var tensor in source.Tensors)
            {
                if (ModuleName.OfTensor(tensor.Name, out _) is not { IsLinear: true, Layer: not null } module) continue;
                var codes = RoundToNearest.Quantize(WeightMatrix.Of(source, tensor), Grid.Parse(name));
                long changed = 0;
                for (int row = 0; row < codes.Rows; row++)
                {
                    float scale = layout == "auto-round" ? (float)(Half)codes.Scale(row) : codes.Scale(row);
                    int[] before = [.. codes.Integers.Slice(row * codes.Columns, codes.Columns).ToArray().Select(code => (int)code)];
                    int[] after = ByNxdi([.. before.Select(code => Bf16(code * scale))]);
                    changed += before.Zip(after).Count(pair => pair.First * MathF.Sign(scale) != pair.Second);
                }
                expected[module.Name] = changed;
            }
        Assert.Equal(expected, Counts(export.GetProperty("modules")));
        Assert.Equal(expected.Values.Sum(), export.GetProperty("integers_changed").GetInt64());
        Assert.Equal(name == "nxd", expected.Values.Sum() == 0);
        var back = (await Quantize(_files.PathOf("gpu"), _files.PathOf("back"))).Json.GetProperty("source_integers");
        Assert.Equal(expected, Counts(back.GetProperty("modules")));
    }

    [Fact]
    public async Task Codes_that_cannot_be_compared_are_named_and_not_counted()
    {
        await Quantize(Model, _files.PathOf("gpu"), "--layout", "auto-round", "--bits", "4", "--group", "32");
        var (json, error) = await Quantize(_files.PathOf("gpu"), _files.PathOf("back"));
        var changes = json.GetProperty("source_integers");
        Assert.Equal((0, 0), (changes.GetProperty("weights").GetInt64(), changes.GetProperty("changed").GetInt64()));
        Assert.All(Counts(changes.GetProperty("modules")).Values, count => Assert.Null(count));
        Assert.Contains("4 bits", changes.GetProperty("modules")[0].GetProperty("why_not_compared").GetString(), StringComparison.Ordinal);
        Assert.Contains("read from int4", error, StringComparison.Ordinal);
        var said = await Nq.Run(["quantize", _files.PathOf("gpu"), "--out", _files.PathOf("again")]);
        Assert.Contains("the source's integers were not compared: 21 modules cannot be", said.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Modules_that_are_kept_are_left_out_and_another_model_is_refused()
    {
        var expected = Theirs(_files.PathOf("theirs"));
        using var source = Checkpoint.Open(_files.PathOf("theirs"));
        var plan = QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["layers.0.self_attn", "lm_head"]);
        NeuronCheckpoint.Write(source, _files.PathOf("ours"), plan);
        using var written = Checkpoint.Open(_files.PathOf("ours"));
        var changes = IntegerChanges.Between(source, written, plan);
        Assert.Equal(expected.Keys.Where(name => !name.StartsWith("layers.0.self_attn", StringComparison.Ordinal)), changes.Modules.Select(module => module.Module.Name));
        Assert.Contains("layers.2.mlp.down_proj", changes.ToDataFrame().ToString(), StringComparison.Ordinal);
        using var other = Checkpoint.Open(Repository.PathOf("data", "deep-model"));
        Assert.Contains("made from it", Assert.Throws<QuantizationException>(() => IntegerChanges.Between(source, other, plan)).Message, StringComparison.Ordinal);
    }
}
