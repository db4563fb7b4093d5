using System.Runtime.InteropServices;
using System.Text.Json;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>Packed integers against numpy (tests/python/make_packed_golden.py): packing, reading, and everything that is refused.</summary>
public sealed class PackedTensorTests : IDisposable
{
    private const string Linear = "model.layers.0.mlp.up_proj";

    private sealed record Case(string Name, JsonElement Config, int Rows, int Columns, int Groups, byte[] Codes, byte[] Qweight, byte[] Qzeros, byte[] Scales, byte[] GIdx, byte[] Bf16)
    {
        public int Bits => Config.GetProperty("bits").GetInt32();
    }

    private sealed record GoldenFile(Case[] Cases);

    private static readonly GoldenFile File = JsonSerializer.Deserialize<GoldenFile>(
        System.IO.File.ReadAllText(Repository.PathOf("tests", "NeuronQuant.Tests", "Golden", "packed_weights.json")),
        new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower })!;

    private readonly TestFiles _files = new();

    public void Dispose() => _files.Dispose();

    public static TheoryData<string> Names => new(File.Cases.Select(golden => golden.Name));

    [Theory]
    [MemberData(nameof(Names))]
    public void A_packed_weight_is_scale_times_code_less_zero_point_in_bf16(string name)
    {
        var golden = File.Cases.Single(candidate => candidate.Name == name);
        Write(golden);
        using var checkpoint = Checkpoint.Open(_files.Folder);
        var tensor = Assert.Single(checkpoint.Tensors);
        Assert.Equal(($"{Linear}.weight", TensorType.BF16, (long)golden.Rows * golden.Columns), (tensor.Name, tensor.Type, tensor.ElementCount));
        Assert.Equal([golden.Rows, golden.Columns], tensor.Shape);
        Assert.Equal(golden.Bf16, checkpoint.Bytes(tensor, 0, golden.Bf16.Length).ToArray());
        Assert.Equal(golden.Bf16[3..^5], checkpoint.Bytes(tensor, 3, golden.Bf16.Length - 8).ToArray());
        var expected = new float[golden.Rows * golden.Columns];
        BFloat16.Decode(MemoryMarshal.Cast<byte, ushort>(golden.Bf16), expected);
        Assert.Equal(expected, WeightMatrix.Of(checkpoint, tensor).ToArray());
        Assert.Contains(checkpoint.Notes, note => note.StartsWith($"read from int{golden.Bits}, packed, with a scale per ", StringComparison.Ordinal));
        Assert.DoesNotContain(checkpoint.Notes, note => note.Contains("left out", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Packing_gives_numpys_words_and_unpacking_gives_the_codes_again(string name)
    {
        var golden = File.Cases.Single(candidate => candidate.Name == name);
        int half = 1 << (golden.Bits - 1);
        sbyte[] signed = [.. golden.Codes.Select(code => (sbyte)(code - half))];
        int[] words = PackedIntegers.PackWeight(signed, golden.Rows, golden.Columns, golden.Bits);
        Assert.Equal(golden.Qweight, MemoryMarshal.AsBytes(words.AsSpan()).ToArray());
        for (int i = 0; i < signed.Length; i++)
            Assert.Equal(golden.Codes[i], PackedIntegers.Weight(words, golden.Rows, i / golden.Columns, i % golden.Columns, golden.Bits));
        int[] zeros = MemoryMarshal.Cast<byte, int>(golden.Qzeros).ToArray();
        Assert.Equal(zeros, PackedIntegers.PackLine(PackedIntegers.UnpackLine(zeros, golden.Bits), golden.Bits));
    }

    [Fact]
    public void What_does_not_fill_words_or_has_more_bits_is_refused()
    {
        Assert.Throws<ArgumentException>(() => PackedIntegers.PackWeight(new sbyte[6], 1, 6, 8));
        Assert.Throws<ArgumentException>(() => PackedIntegers.PackWeight([8, 0, 0, 0, 0, 0, 0, 0], 1, 8, 4));
        Assert.Throws<ArgumentException>(() => PackedIntegers.PackLine(new byte[3], 8));
        Assert.Throws<ArgumentOutOfRangeException>(() => PackedIntegers.PackLine(new byte[32], 3));
    }

    [Fact]
    public void Act_order_is_refused_and_named_and_one_group_has_no_order()
    {
        var golden = File.Cases.Single(candidate => candidate.Name == "GPTQ, 4 bits in groups");
        int[] index = MemoryMarshal.Cast<byte, int>(golden.GIdx).ToArray();
        (index[0], index[95]) = (index[95], index[0]);
        Write(golden with { GIdx = MemoryMarshal.AsBytes(index.AsSpan()).ToArray() });
        Refused("GPTQ (4 bits)", "act-order");
        var whole = File.Cases[0];
        Write(whole, without: "g_idx");
        Checkpoint.Open(_files.Folder).Dispose();
    }

    [Fact]
    public void A_zero_point_that_wraps_shapes_that_do_not_fit_and_broken_scales_are_refused()
    {
        var golden = File.Cases.Single(candidate => candidate.Name == "GPTQ, 4 bits in groups");
        byte[] wrapped = [.. golden.Qzeros];
        wrapped[0] |= 0x0F;
        Write(golden with { Qzeros = wrapped });
        Refused("GPTQ (4 bits)", "zero point of 0");
        Write(golden, without: "qzeros");
        Refused("GPTQ (4 bits)", "no qzeros and scales");
        Write(golden with { Config = Json("""{"quant_method":"gptq","bits":4,"group_size":64}""") });
        Refused("GPTQ (4 bits)", "qzeros of shape");
        Write(golden with { Config = Json("""{"quant_method":"gptq","bits":8,"group_size":32}""") });
        Refused("GPTQ (8 bits)", "qzeros of shape");
        Write(golden with { Config = Json("""{"quant_method":"gptq","bits":4,"group_size":32,"desc_act":true}""") }, without: "g_idx");
        Refused("GPTQ (4 bits)", "act-order");
        byte[] infinite = [.. golden.Scales];
        (infinite[0], infinite[1]) = (0, 0x7C);
        Write(golden with { Scales = infinite });
        using var checkpoint = Checkpoint.Open(_files.Folder);
        Assert.Equal(CheckpointFailure.ScaleInvalid, Assert.Throws<CheckpointException>(() => checkpoint.ReadFloats(checkpoint.Tensors[0], 0, new float[1])).Failure);
    }

    [Theory]
    [InlineData("""{"quant_method":"gptq","bits":3,"group_size":32}""")]
    [InlineData("""{"quant_method":"gptq","bits":4}""")]
    [InlineData("""{"quant_method":"gptq","checkpoint_format":"marlin","bits":4,"group_size":32}""")]
    [InlineData("""{"quant_method":"auto-round","packing_format":"auto_round:auto_awq","bits":4,"group_size":32}""")]
    [InlineData("""{"quant_method":"auto-round","packing_format":"auto_round:auto_gptq","data_type":"mx_fp","bits":4,"group_size":32}""")]
    [InlineData("""{"quant_method":"intel/auto-round","backend":"auto_round:exllamav2","bits":4,"group_size":32,"sym":true}""")]
    [InlineData("""{"quant_method":"auto-round","bits":4,"group_size":32,"sym":false}""")]
    [InlineData("""{"quant_method":"awq","bits":4,"group_size":32}""")]
    public void A_packing_that_the_config_does_not_tell_or_that_is_not_known_is_refused(string config)
    {
        Write(File.Cases.Single(candidate => candidate.Name == "GPTQ, 4 bits in groups") with { Config = Json(config) });
        Assert.Equal(CheckpointFailure.SourceQuantized, Assert.Throws<CheckpointException>(() => Checkpoint.Open(_files.Folder)).Failure);
    }

    private static JsonElement Json(string text) => JsonDocument.Parse(text).RootElement;

    private void Refused(string scheme, string reason)
    {
        var error = Assert.Throws<CheckpointException>(() => Checkpoint.Open(_files.Folder));
        Assert.Equal(CheckpointFailure.SourceQuantized, error.Failure);
        Assert.Contains(scheme, error.Message, StringComparison.Ordinal);
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
    }

    private void Write(Case golden, string? without = null)
    {
        int perWord = 32 / File.Cases.Single(candidate => candidate.Name == golden.Name).Bits;
        var tensors = new[]
        {
            ("qweight", "I32", $"{golden.Columns / perWord},{golden.Rows}", golden.Qweight),
            ("qzeros", "I32", $"{golden.Groups},{golden.Rows / perWord}", golden.Qzeros),
            ("scales", "F16", $"{golden.Groups},{golden.Rows}", golden.Scales),
            ("g_idx", "I32", $"{golden.Columns}", golden.GIdx),
        }.Where(tensor => tensor.Item1 != without).ToArray();
        long offset = 0;
        var entries = new List<string>();
        foreach (var (parameter, type, shape, bytes) in tensors)
        {
            entries.Add(TestFiles.Entry($"{Linear}.{parameter}", type, shape, $"{offset},{offset + bytes.Length}"));
            offset += bytes.Length;
        }
        _files.Safetensors("model.safetensors", "{" + string.Join(',', entries) + "}", [.. tensors.SelectMany(tensor => tensor.Item4)]);
        _files.Text("config.json", $$"""{"model_type":"llama","quantization_config":{{golden.Config.GetRawText()}}}""");
    }
}
