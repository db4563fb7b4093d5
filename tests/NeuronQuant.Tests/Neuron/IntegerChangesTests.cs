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
/// Integers between a GPU's formats and NxDI's, both ways: what is taken over is compared byte by byte with files that this test writes by the published
/// layouts, or that numpy packed; what is rounded again is counted here in plain loops: their codes, their value in bf16, and NxDI's rounding of it.
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

    // name without "model." -> bytes in hexadecimal, scales widened to float32 by hand
    private static Dictionary<string, string> Stored(string folder, Func<TensorInfo, bool> which)
    {
        using var stored = Checkpoint.OpenStored(folder);
        return stored.Tensors.Where(which).ToDictionary(
            tensor => tensor.Name.Replace("model.", "", StringComparison.Ordinal).Replace("weight_scale", "scale", StringComparison.Ordinal),
            tensor =>
            {
                byte[] bytes = stored.Bytes(tensor, 0, (int)tensor.ByteCount).ToArray();
                return Convert.ToHexString(tensor.Type switch
                {
                    TensorType.BF16 => MemoryMarshal.AsBytes(MemoryMarshal.Cast<byte, ushort>(bytes).ToArray()
                        .Select(code => BitConverter.UInt32BitsToSingle((uint)code << 16)).ToArray().AsSpan()).ToArray(),
                    TensorType.F16 => MemoryMarshal.AsBytes(MemoryMarshal.Cast<byte, Half>(bytes).ToArray()
                        .Select(half => (float)half).ToArray().AsSpan()).ToArray(),
                    _ => bytes,
                });
            });
    }

    private static bool IsCode(TensorInfo tensor) => tensor.Type == TensorType.I8;

    private static bool IsScale(TensorInfo tensor) => tensor.Name.EndsWith("scale", StringComparison.Ordinal);

    [Theory]
    [InlineData("nxd")]
    [InlineData("compressed-tensors")]
    [InlineData("auto-round")]
    public async Task Int8_codes_and_scales_of_theirs_are_taken_over_byte_for_byte(string layout)
    {
        Theirs(_files.PathOf("theirs"));
        var (json, _) = await Quantize(_files.PathOf("theirs"), _files.PathOf("ours"), "--layout", layout, "--keep", "lm_head");
        var changes = json.GetProperty("source_integers");
        Assert.Equal((0, 0), (changes.GetProperty("changed").GetInt64(), changes.GetProperty("scales_changed").GetInt64()));
        Assert.All(Counts(changes.GetProperty("modules")).Values, count => Assert.Equal(0, count));
        string back = _files.PathOf("ours");
        if (layout == "auto-round") // bf16 scales fit into its float16; read back through our other layout.
            await Quantize(back, back = _files.PathOf("back"), "--layout", "compressed-tensors");
        Assert.Equal(Stored(_files.PathOf("theirs"), IsCode), Stored(back, IsCode));
        Assert.Equal(Stored(_files.PathOf("theirs"), IsScale), Stored(back, IsScale));
        if (layout != "nxd") return;
        var audit = await Nq.Run(["audit", _files.PathOf("theirs"), back]);
        Assert.True(audit.Code == 0, audit.Output);
        Assert.Contains("the source's own codes and scales", audit.Output, StringComparison.Ordinal);
        var said = await Nq.Run(["quantize", _files.PathOf("theirs"), "--out", _files.PathOf("again")]);
        Assert.Contains($"0 of {changes.GetProperty("weights").GetInt64()} integers of the source", said.Error, StringComparison.Ordinal);
        Assert.Contains("layout nxd, the source's own codes and scales", said.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_audit_finds_one_code_and_one_scale_that_are_not_the_sources()
    {
        Theirs(_files.PathOf("theirs"));
        await Quantize(_files.PathOf("theirs"), _files.PathOf("ours"));
        string file = _files.PathOf("ours/model.safetensors");
        byte[] bytes = File.ReadAllBytes(file);
        using (var written = Checkpoint.OpenStored(file))
        {
            bytes[written["layers.1.mlp.up_proj.weight"].Offset] ^= 1;
            bytes[written["layers.2.self_attn.o_proj.scale"].Offset] ^= 1;
        }
        File.WriteAllBytes(file, bytes);
        var (code, output, _) = await Nq.Run(["audit", _files.PathOf("theirs"), _files.PathOf("ours")]);
        Assert.Equal(1, code);
        Assert.Contains("1 integers changed, 2 findings", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--layout fake", "a bf16 file")]
    [InlineData("--method clip", "clip was asked for")]
    [InlineData("--grid half --layout auto-round", "the grid 'half' was asked for")]
    [InlineData("--layout auto-round --bits 4", "the grid 'nxd, 4 bits' was asked for")]
    [InlineData("--type per_tensor_symmetric", "int8 per_tensor_symmetric was asked for")]
    public async Task What_is_asked_for_otherwise_is_rounded_again_and_says_why(string options, string why)
    {
        var expected = Theirs(_files.PathOf("theirs"));
        Assert.All(expected, pair => Assert.True(pair.Value > 0, pair.Key));
        var changes = (await Quantize(_files.PathOf("theirs"), _files.PathOf("ours"), options.Split(' '))).Json.GetProperty("source_integers");
        Assert.All(changes.GetProperty("modules").EnumerateArray(),
            module => Assert.Contains(why, module.GetProperty("why_not_kept").GetString(), StringComparison.Ordinal));
        if (options.Contains("fake", StringComparison.Ordinal))
            Assert.Equal(expected.ToDictionary(pair => pair.Key, pair => (long?)pair.Value), Counts(changes.GetProperty("modules")));
        else if (options.Contains("bits", StringComparison.Ordinal)) Assert.All(Counts(changes.GetProperty("modules")).Values, count => Assert.Null(count));
        else Assert.True(changes.GetProperty("changed").GetInt64() > 0);
    }

    [Theory]
    [InlineData("compressed-tensors", "nxd")]
    [InlineData("compressed-tensors", "half")]
    [InlineData("auto-round", "nxd")]
    [InlineData("auto-round", "autoround")] // Negative scales.
    public async Task Export_of_ours_counts_what_NxDI_would_change_and_the_way_back_changes_nothing(string layout, string name)
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
        Assert.Equal((0, 0), (back.GetProperty("changed").GetInt64(), back.GetProperty("scales_changed").GetInt64()));
        using (var source = Checkpoint.Open(Model))
        using (var written = Checkpoint.OpenStored(_files.PathOf("back")))
            foreach (string module in expected.Keys)
            {
                var codes = RoundToNearest.Quantize(WeightMatrix.Of(source, source[$"model.{module}.weight"]), Grid.Parse(name));
                Assert.Equal(codes.Codes, written.Bytes(written[$"{module}.weight"], 0, codes.Codes.Length).ToArray());
                float[] scales = layout == "auto-round" ? [.. codes.Scales.Select(scale => (float)(Half)scale)] : codes.Scales;
                Assert.Equal(MemoryMarshal.AsBytes(scales.AsSpan()).ToArray(), written.Bytes(written[$"{module}.scale"], 0, 4 * scales.Length).ToArray());
            }
        await Quantize(_files.PathOf("gpu"), _files.PathOf("gpu2"), "--layout", layout); // And out again: the same file.
        Assert.Equal(File.ReadAllBytes(_files.PathOf("gpu/model.safetensors")), File.ReadAllBytes(_files.PathOf("gpu2/model.safetensors")));
    }

    [Fact]
    public async Task Codes_that_cannot_be_compared_are_named_and_not_counted()
    {
        await Quantize(Model, _files.PathOf("gpu"), "--layout", "auto-round", "--bits", "4", "--group", "32");
        var (json, error) = await Quantize(_files.PathOf("gpu"), _files.PathOf("back"));
        var changes = json.GetProperty("source_integers");
        Assert.Equal((0, 0), (changes.GetProperty("weights").GetInt64(), changes.GetProperty("changed").GetInt64()));
        Assert.All(Counts(changes.GetProperty("modules")).Values, count => Assert.Null(count));
        Assert.Contains("4 bits", changes.GetProperty("modules")[0].GetProperty("why_not_kept").GetString(), StringComparison.Ordinal);
        Assert.Contains("read from int4", error, StringComparison.Ordinal);
        var said = await Nq.Run(["quantize", _files.PathOf("gpu"), "--out", _files.PathOf("again")]);
        Assert.Contains("the source's integers were not compared: 21 of 21 modules were rounded again, layers.0.self_attn.q_proj since its codes have 4 bits", said.Error, StringComparison.Ordinal);
    }

    // numpy packed these (tests/python/make_packed_golden.py): scales of both signs, and zero points that are no 128.
    [Theory]
    [InlineData("auto-round int8, a scale a row", null, true)]
    [InlineData("auto-round int8, a scale a row", "zero", false)]
    [InlineData("auto-round int8, a scale a row", "scale", false)]
    [InlineData("GPTQ, 4 bits in groups", null, false)]
    public void Words_that_numpy_packed_come_out_as_its_codes_and_are_packed_to_the_same_words(string name, string? change, bool kept)
    {
        var golden = JsonNode.Parse(File.ReadAllText(Repository.PathOf("tests", "NeuronQuant.Tests", "Golden", "packed_weights.json")))!["cases"]!
            .AsArray().Single(entry => (string)entry!["name"]! == name)!;
        byte[] Part(string part) => Convert.FromBase64String((string)golden[part]!);
        int rows = (int)golden["rows"]!, columns = (int)golden["columns"]!, groups = (int)golden["groups"]!, perWord = 32 / (int)golden["config"]!["bits"]!;
        byte[] zeros = Part("qzeros"), scales = Part("scales");
        if (change == "zero") zeros[3] = 99;
        if (change == "scale") (scales[2], scales[3]) = (0, 0);
        (string Name, TensorType Type, long[] Shape, byte[] Bytes)[] parts =
        [
            ("qweight", TensorType.I32, [columns / perWord, rows], Part("qweight")), ("qzeros", TensorType.I32, [groups, rows / perWord], zeros),
            ("scales", TensorType.F16, [groups, rows], scales), ("g_idx", TensorType.I32, [columns], Part("g_idx")),
        ];
        const string module = "model.layers.0.mlp.up_proj";
        using (var writer = CheckpointWriter.Create(_files.PathOf("theirs"),
            parts.Select(part => new TensorDeclaration($"{module}.{part.Name}", part.Type, [.. part.Shape]))))
        {
            foreach (var part in parts) writer.Write($"{module}.{part.Name}", part.Bytes);
            writer.Complete();
        }
        File.WriteAllText(_files.PathOf("theirs/config.json"), new JsonObject { ["quantization_config"] = golden["config"]!.DeepClone() }.ToJsonString());
        using var source = Checkpoint.Open(_files.PathOf("theirs"));
        var plan = QuantizationPlan.Create(QuantizationPlan.LinearModules(source), tiedHead: false, Format.Int8, Granularity.PerChannelSymmetric, []);
        var changes = NeuronCheckpoint.Write(source, _files.PathOf("ours"), plan).SourceIntegers!;
        Assert.Equal(kept, Assert.Single(changes.Modules).WhyNotKept is null);
        if (!kept) return;
        using var written = Checkpoint.OpenStored(_files.PathOf("ours"));
        Assert.Equal(Part("codes").Select(code => (byte)(code ^ 0x80)), written.Bytes(written["layers.0.mlp.up_proj.weight"], 0, rows * columns).ToArray());
        Assert.Equal(MemoryMarshal.Cast<byte, Half>(scales).ToArray().Select(half => (float)half),
            MemoryMarshal.Cast<byte, float>(written.Bytes(written["layers.0.mlp.up_proj.scale"], 0, 4 * rows)).ToArray());
        GpuCheckpoint.Write(source, _files.PathOf("again"), plan, GpuLayout.AutoRound);
        using var again = Checkpoint.OpenStored(_files.PathOf("again"));
        foreach (var part in parts) Assert.Equal(part.Bytes, again.Bytes(again[$"{module}.{part.Name}"], 0, part.Bytes.Length).ToArray());
    }

    [Fact]
    public void Modules_that_are_kept_in_bf16_are_left_out_and_a_grid_that_is_given_is_rounded_on()
    {
        var expected = Theirs(_files.PathOf("theirs"));
        using var source = Checkpoint.Open(_files.PathOf("theirs"));
        var plan = QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["layers.0.self_attn", "lm_head"]);
        var changes = NeuronCheckpoint.Write(source, _files.PathOf("ours"), plan, grid: Grid.Nxd()).SourceIntegers!;
        Assert.Equal(expected.Where(pair => !pair.Key.StartsWith("layers.0.self_attn", StringComparison.Ordinal)).Select(pair => (pair.Key, (long?)pair.Value)),
            changes.Modules.Select(module => (module.Module.Name, module.Changed)));
        Assert.Contains("layers.2.mlp.down_proj", changes.ToDataFrame().ToString(), StringComparison.Ordinal);
        Assert.Equal("config.json", Assert.Throws<QuantizationException>(() => // What NxDI loads has no config.json.
        {
            using var ours = Checkpoint.Open(_files.PathOf("ours"));
            GpuCheckpoint.Write(ours, _files.PathOf("gpu"), plan, GpuLayout.AutoRound);
        }).Module);
        Assert.False(Directory.Exists(_files.PathOf("gpu")));
        using var plain = Checkpoint.Open(Model);
        Assert.Null(NeuronCheckpoint.Write(plain, _files.PathOf("plain"), QuantizationPlan.Create(plain, Format.Int8)).SourceIntegers);
    }
}
