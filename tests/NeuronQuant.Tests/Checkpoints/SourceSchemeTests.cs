using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;
using NeuronQuant.Sensitivity;
using NeuronQuant.Tests.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>Weights stored as code and scale are read by value; every other way of storing them is refused with its name.</summary>
public sealed class SourceSchemeTests : IDisposable
{
    private const string Linear = "model.layers.0.mlp.up_proj";

    private sealed record Golden(string Name, string Type, long[] Shape, byte[] Codes, string ScaleName, string ScaleType, long[] ScaleShape, byte[] Scale, byte[] Bf16);

    private sealed record GoldenFile(Golden[] Cases);

    private static readonly GoldenFile File = JsonSerializer.Deserialize<GoldenFile>(
        System.IO.File.ReadAllText(Repository.PathOf("tests", "NeuronQuant.Tests", "Golden", "scaled_weights.json")),
        new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower })!;

    private readonly TestFiles _files = new();

    public void Dispose() => _files.Dispose();

    public static TheoryData<string> Names => new(File.Cases.Select(golden => golden.Name));

    private string Model(params (string Name, string Type, long[] Shape, byte[] Bytes)[] tensors)
    {
        long offset = 0;
        var entries = new List<string>();
        foreach (var tensor in tensors)
        {
            entries.Add(TestFiles.Entry(tensor.Name, tensor.Type, string.Join(',', tensor.Shape), $"{offset},{offset + tensor.Bytes.Length}"));
            offset += tensor.Bytes.Length;
        }
        return _files.Safetensors("model.safetensors", "{" + string.Join(',', entries) + "}", [.. tensors.SelectMany(tensor => tensor.Bytes)]);
    }

    private static (string Name, string Type, long[] Shape, byte[] Bytes) Tensor(string name, string type, params long[] shape) =>
        (name, type, shape, new byte[shape.Aggregate(1L, (a, b) => a * b) * (TensorTypes.TryParse(type, out var known) ? known.BitSize() / 8 : 1)]);

    private static (string Name, string Type, long[] Shape, byte[] Bytes) Ones(string name, params long[] shape)
    {
        float[] ones = new float[shape.Aggregate(1L, (a, b) => a * b)];
        Array.Fill(ones, 1f);
        return (name, "F32", shape, MemoryMarshal.AsBytes(ones.AsSpan()).ToArray());
    }

    private CheckpointException Refused(string scheme, string tensor)
    {
        var error = Assert.Throws<CheckpointException>(() => Checkpoint.Open(_files.Folder));
        Assert.Equal((CheckpointFailure.SourceQuantized, tensor), (error.Failure, error.Tensor));
        Assert.Contains(scheme, error.Message, StringComparison.Ordinal);
        Assert.Contains("Use the original checkpoint", error.Message, StringComparison.Ordinal);
        Checkpoint.OpenStored(_files.Folder).Dispose();
        return error;
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_weight_is_code_times_scale_in_float32_and_then_bf16(string name)
    {
        var golden = File.Cases.Single(candidate => candidate.Name == name);
        Model(($"{Linear}.weight", golden.Type, golden.Shape, golden.Codes), ($"{Linear}.{golden.ScaleName}", golden.ScaleType, golden.ScaleShape, golden.Scale));
        using var checkpoint = Checkpoint.Open(_files.Folder);
        var tensor = Assert.Single(checkpoint.Tensors);
        Assert.Equal((TensorType.BF16, golden.Bf16.LongLength), (tensor.Type, tensor.ByteCount));
        Assert.Equal(golden.Bf16, checkpoint.Bytes(tensor, 0, golden.Bf16.Length).ToArray());
        Assert.Equal(golden.Bf16[3..^5], checkpoint.Bytes(tensor, 3, golden.Bf16.Length - 8).ToArray());
        var matrix = WeightMatrix.Of(checkpoint, tensor);
        var row = new float[matrix.Columns];
        for (int i = 0; i < matrix.Rows; i++)
        {
            matrix.ReadRow(i, row);
            Assert.Equal(MemoryMarshal.Cast<byte, ushort>(golden.Bf16).Slice(i * row.Length, row.Length).ToArray(), row.Select(BFloat16.Encode));
        }
        Assert.Contains(checkpoint.Notes, note => note.StartsWith($"read from {(golden.Type == "I8" ? "int8" : "fp8")} with ", StringComparison.Ordinal));
        Assert.Equal(golden.Codes.Length + golden.Scale.Length, checkpoint.ByteCount);
        Assert.Equal($"{Linear}.weight", Assert.Single(ModelProfile.Measure(checkpoint).Modules).Tensor);
    }

    [Theory] // What each scheme's own writer leaves in a file, as far as it tells the scheme.
    [InlineData("GPTQ", "qweight:I32:2,4;qzeros:I32:1,1;scales:F16:1,4;g_idx:I32:16", "g_idx", "{\"quant_method\":\"gptq\",\"bits\":4}", "GPTQ (4 bits)")]
    [InlineData("AWQ", "qweight:I32:16,1;qzeros:I32:1,1;scales:F16:1,8", "qweight", "{\"quant_method\":\"awq\",\"bits\":4}", "AWQ (4 bits)")]
    [InlineData("GPTQ without a config", "qweight:I32:2,4;scales:F16:1,4", "qweight", null, "GPTQ or AWQ")]
    [InlineData("bitsandbytes int8", "weight:I8:4,4;SCB:F32:4", "SCB", "{\"quant_method\":\"bitsandbytes\",\"load_in_8bit\":true}", "bitsandbytes (8 bits)")]
    [InlineData("bitsandbytes nf4", "weight:U8:8,1;weight.absmax:U8:1;weight.quant_map:F32:16", "weight", "{\"quant_method\":\"bitsandbytes\",\"load_in_4bit\":true}", "bitsandbytes (4 bits)")]
    [InlineData("packed", "weight_packed:I32:4,1;weight_scale:BF16:4,1;weight_shape:I64:2", "weight_packed", "{\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\"}", "pack-quantized")]
    [InlineData("nvfp4", "weight:U8:4,4;weight_scale:F8_E4M3:4,1;weight_scale_2:F32:", "weight", "{\"quant_method\":\"modelopt\",\"quant_algo\":\"NVFP4\"}", "ModelOpt (NVFP4)")]
    [InlineData("mxfp8", "weight:F8_E4M3:4,32;weight_scale:U8:4,1", "weight", "{\"quant_method\":\"modelopt\",\"quant_algo\":\"MXFP8\"}", "ModelOpt (MXFP8)")]
    [InlineData("zero points", "weight:I8:4,4;weight_scale:F32:4,1;weight_zero_point:I8:4,1:1", "weight_zero_point", "{\"quant_method\":\"compressed-tensors\",\"format\":\"int-quantized\"}", "zero points")]
    [InlineData("rotated", "weight:I8:4,4;weight_scale:F32:4,1", "weight", "{\"quant_method\":\"compressed-tensors\",\"format\":\"int-quantized\",\"transform_config\":{\"config_groups\":{\"u\":{}}}}", "with transforms")]
    [InlineData("bare fp8", "weight:F8_E4M3:4,4", "weight", null, "F8_E4M3 codes without a scale")]
    [InlineData("bare int8", "weight:I8:4,4", "weight", null, "I8 codes without a scale")]
    [InlineData("bare fp8 of a known method", "weight:F8_E4M3:4,4", "weight", "{\"quant_method\":\"fp8\"}", "F8_E4M3 codes without a scale")]
    [InlineData("unsigned", "weight:U8:4,4;weight_scale:F32:4,1", "weight", null, "U8 codes")]
    [InlineData("float beside a scale", "weight:BF16:4,4;weight_scale:F32:4,1", "weight", null, "a float weight beside a scale")]
    [InlineData("two scales", "weight:F8_E4M3:4,4;weight_scale:F32:1;weight_scale_inv:F32:1", "weight", null, "two scales")]
    [InlineData("smoothed", "weight:I8:4,4;weight_scale:F32:4;pre_quant_scale:F32:4", "pre_quant_scale", null, "scaled activations")]
    [InlineData("unknown method", "weight:BF16:4,4", "weight", "{\"quant_method\":\"aqlm\"}", "aqlm")]
    [InlineData("unknown tensors", "blob:U8:4,4", "blob", null, "without a weight")]
    [InlineData("hqq", "W_q:U8:4,4;bias:F32:4", "W_q", null, "HQQ")]
    public void Anything_that_is_no_product_is_refused_by_name(string what, string tensors, string first, string? config, string scheme)
    {
        Assert.NotEmpty(what);
        Model([.. tensors.Split(';').Select(text =>
        {
            var parts = text.Split(':');
            var tensor = Tensor($"{Linear}.{parts[0]}", parts[1], [.. parts[2].Split(',', StringSplitOptions.RemoveEmptyEntries).Select(size => long.Parse(size, CultureInfo.InvariantCulture))]);
            if (parts.Length == 4) tensor.Bytes[0] = 1;
            return tensor;
        })]);
        if (config is not null) _files.Text("config.json", $$"""{"model_type":"llama","quantization_config":{{config}}}""");
        Refused(scheme, $"{Linear}.{first}");
    }

    [Fact]
    public void A_code_that_is_not_a_linear_weight_is_refused_as_well()
    {
        Model(Tensor("model.embed_tokens.weight", "I8", 4, 4), Tensor("model.layers.0.mlp.experts.3.up_proj.weight", "BF16", 4, 4));
        Refused("I8 codes without a scale", "model.embed_tokens.weight");
        Model(Tensor("model.layers.0.mlp.experts.3.up_proj.weight", "F8_E4M3", 4, 4), Tensor("model.layers.0.mlp.up_proj.weight", "BF16", 4, 4));
        Refused("F8_E4M3 codes without a scale", "model.layers.0.mlp.experts.3.up_proj.weight");
    }

    [Fact]
    public void A_method_that_the_tensors_do_not_show_is_refused_with_the_way_out()
    {
        Model(Tensor($"{Linear}.weight", "BF16", 4, 4));
        _files.Text("config.json", """{"quantization_config":{"quant_method":"bitsandbytes","load_in_4bit":true}}""");
        Assert.EndsWith("remove quantization_config from config.json.", Refused("bitsandbytes (4 bits)", $"{Linear}.weight").Message, StringComparison.Ordinal);
        _files.Text("config.json", "{}");
        Checkpoint.Open(_files.Folder).Dispose();
    }

    [Fact]
    public void ModelOpt_is_known_by_its_own_file()
    {
        Model(Tensor($"{Linear}.weight", "F8_E4M3", 4, 4), Ones($"{Linear}.weight_scale"), Ones($"{Linear}.input_scale"), Ones("model.layers.0.self_attn.k_scale"));
        _files.Text("hf_quant_config.json", """{"producer":{"name":"modelopt"},"quantization":{"quant_algo":"FP8","kv_cache_quant_algo":"FP8"}}""");
        using (var checkpoint = Checkpoint.Open(_files.Folder))
        {
            Assert.Equal($"{Linear}.weight", Assert.Single(checkpoint.Tensors).Name);
            Assert.Contains("read from fp8 with a scale per tensor: 1 weights are code x scale, in float32 and then bf16 (ModelOpt (FP8))", checkpoint.Notes[0], StringComparison.Ordinal);
            Assert.StartsWith("2 scales of activations", checkpoint.Notes[1], StringComparison.Ordinal);
        }
        _files.Text("hf_quant_config.json", """{"quantization":{"quant_algo":"W4A16_AWQ"}}""");
        Refused("ModelOpt (W4A16_AWQ)", $"{Linear}.weight");
    }

    [Fact]
    public void A_config_that_names_a_method_of_float_weights_is_said_and_not_believed()
    {
        Model(Tensor($"{Linear}.weight", "BF16", 4, 4));
        _files.Text("config.json", """{"quantization_config":{"quant_method":"fp8"}}""");
        using var checkpoint = Checkpoint.Open(_files.Folder);
        Assert.Contains("every weight is floating point", Assert.Single(checkpoint.Notes), StringComparison.Ordinal);
        Assert.False(checkpoint.Scheme!.IsQuantized);
    }

    [Fact]
    public void Zero_points_that_are_all_zero_change_nothing()
    {
        Model(Tensor($"{Linear}.weight", "I8", 4, 4), Ones($"{Linear}.weight_scale", 4, 1), Tensor($"{Linear}.weight_zero_point", "I8", 4, 1));
        using var checkpoint = Checkpoint.Open(_files.Folder);
        Assert.Single(checkpoint.Tensors);
    }

    [Theory]
    [InlineData("3,1", "weight_scale")]
    [InlineData("1,4", "weight_scale")]
    [InlineData("4,3", "weight_scale")]
    [InlineData("2,2", "weight_scale_inv")]
    [InlineData("3", "scale")]
    [InlineData("4,1,1", "scale")]
    public void A_scale_of_another_shape_is_refused(string shape, string name)
    {
        Model(Tensor($"{Linear}.weight", "F8_E4M3", 4, 4), Ones($"{Linear}.{name}", [.. shape.Split(',').Select(size => long.Parse(size, CultureInfo.InvariantCulture))]));
        var error = Assert.Throws<CheckpointException>(() => Checkpoint.Open(_files.Folder));
        Assert.Equal((CheckpointFailure.ScaleInvalid, $"{Linear}.{name}"), (error.Failure, error.Tensor));
    }

    [Fact]
    public void The_block_that_the_config_names_is_the_block()
    {
        Model(Tensor($"{Linear}.weight", "F8_E4M3", 4, 8), Ones($"{Linear}.weight_scale_inv", 2, 2));
        _files.Text("config.json", """{"quantization_config":{"quant_method":"fp8","weight_block_size":[2,4]}}""");
        using (var checkpoint = Checkpoint.Open(_files.Folder)) Assert.Equal("fp8 with block scales of 2 x 4", checkpoint.Scheme!.Name);
        _files.Text("config.json", """{"quantization_config":{"quant_method":"fp8","weight_block_size":[4,4]}}""");
        Assert.Equal(CheckpointFailure.ScaleInvalid, Assert.Throws<CheckpointException>(() => Checkpoint.Open(_files.Folder)).Failure);
    }

    [Fact]
    public void A_scale_that_is_no_number_is_named_when_it_is_read()
    {
        var scale = Ones($"{Linear}.weight_scale", 4, 1);
        BitConverter.TryWriteBytes(scale.Bytes.AsSpan(8), float.NaN);
        Model(Tensor($"{Linear}.weight", "F8_E4M3", 4, 4), scale);
        using var checkpoint = Checkpoint.Open(_files.Folder);
        var error = Assert.Throws<CheckpointException>(() => checkpoint.ReadFloats(checkpoint.Tensors[0], 0, new float[4]));
        Assert.Equal((CheckpointFailure.ScaleInvalid, $"{Linear}.weight_scale"), (error.Failure, error.Tensor));
        Assert.Contains("the 3. of 4", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_folder_that_this_library_writes_is_read_by_value()
    {
        using var model = new TinyModel();
        using (var source = model.Open())
            NeuronQuant.Neuron.NeuronCheckpoint.Write(source, model.PathOf("q"), QuantizationPlan.Create(source, Format.F8E4M3));
        using var stored = Checkpoint.OpenStored(model.PathOf("q"));
        using var values = Checkpoint.Open(model.PathOf("q"));
        Assert.DoesNotContain(values.Tensors, tensor => tensor.Name.EndsWith(".scale", StringComparison.Ordinal));
        var (codes, scale, weights) = (new float[32], new float[1], new float[32]);
        stored.ReadFloats(stored["layers.1.mlp.up_proj.weight"], 32, codes);
        stored.ReadFloats(stored["layers.1.mlp.up_proj.scale"], 1, scale);
        values.ReadFloats(values["layers.1.mlp.up_proj.weight"], 32, weights);
        Assert.Equal(codes.Select(code => BFloat16.Round(code * scale[0])), weights);
    }
}
