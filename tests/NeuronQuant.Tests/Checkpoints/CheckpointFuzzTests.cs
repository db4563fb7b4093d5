using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Tests.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>
/// Twenty thousand damaged checkpoints: config.json, generation_config.json, hf_quant_config.json, the index and the header, each changed where its
/// structure is, not byte by byte. Every one opens, or ends in a named error; none hangs or takes memory that the file does not have.
/// </summary>
[Collection("alone")]
public sealed class CheckpointFuzzTests : IDisposable
{
    private const int CasesOfAFile = 3_100, Seed = 20260102;
    private const long MostBytes = 1L << 30;

    private static readonly string[] Files = ["config.json", "generation_config.json", "hf_quant_config.json", "model.safetensors.index.json", "header"];

    private static readonly string[] Values =
    [
        "null", "true", "false", "0", "1", "-1", "2", "3", "7", "127", "2147483647", "2147483648", "-2147483649", "9223372036854775807", "9223372036854775808", "1e999", "1e-999", "-0.0",
        "0.5", "1e30", "\"\"", "\"a\"", "\"yarn\"", "\"llama3\"", "\"mistral\"", "\"qwen2\"", "\"F8_E4M3\"", "\"I8\"", "\"BF16\"", "\"F4\"", "\"../../x\"", "\"\\u0000\"", "\"compressed-tensors\"",
        "\"fbgemm_fp8\"", "\"gptq\"", "\"FP8\"", "[]", "[0]", "[2,2]", "[-1]", "[1,2,3,4,5]", "[4294967296,4294967296]", "[0,9223372036854775807]", "[null]", "[[[]]]", "{}", "{\"a\":1}",
        "{\"rope_theta\":3,\"rope_type\":\"linear\"}", "{\"quant_method\":\"fp8\",\"weight_block_size\":[2,4]}", "{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}",
    ];

    private static readonly string[] Names =
    [
        "rope_theta", "rope_scaling", "rope_parameters", "rope_type", "type", "factor", "quantization_config", "compression_config", "quant_method", "format", "config_groups", "weights",
        "block_structure", "weight_block_size", "sparsity_config", "transform_config", "quant_algo", "bits", "eos_token_id", "sliding_window", "layer_types", "head_dim", "tie_word_embeddings",
        "partial_rotary_factor", "weight_map", "metadata", "total_size", "__metadata__", "dtype", "shape", "data_offsets", "model.layers.0.mlp.up_proj.weight_scale",
        "model.layers.0.mlp.up_proj.weight_scale_inv", "model.layers.0.mlp.up_proj.scale", "model.layers.0.mlp.up_proj.qweight", "model.layers.0.mlp.up_proj.weight_zero_point",
    ];

    private readonly TestFiles _files = new();
    private readonly Dictionary<string, byte[]> _whole = [];
    private readonly byte[] _data;

    public CheckpointFuzzTests()
    {
        using var model = new TinyModel();
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(model.Folder, "config.json")))!;
        config["num_hidden_layers"] = 1;
        config["rope_scaling"] = JsonNode.Parse("""{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":32}""");
        config["quantization_config"] = JsonNode.Parse("""{"quant_method":"compressed-tensors","format":"float-quantized","config_groups":{"group_0":{"weights":{"strategy":"block","block_structure":[16,16]}}}}""");
        _whole["config.json"] = Utf8(config);
        _whole["generation_config.json"] = Encoding.UTF8.GetBytes("""{"bos_token_id":1,"eos_token_id":[2,3],"temperature":0.6,"do_sample":true}""");
        _whole["hf_quant_config.json"] = Encoding.UTF8.GetBytes("""{"producer":{"name":"modelopt"},"quantization":{"quant_algo":"FP8","exclude_modules":["lm_head"]}}""");
        string fp8 = model.Rewrite(model.Folder, "fp8", (tensor, bytes) => tensor.Name == "model.layers.0.mlp.up_proj.weight"
            ? [(new TensorDeclaration(tensor.Name, TensorType.F8E4M3, tensor.Shape), new byte[tensor.ElementCount]),
                (new TensorDeclaration(tensor.Name + "_scale", TensorType.F32, [3, 2]), new byte[24])]
            : ModuleName.OfTensor(tensor.Name, out _).Layer == 1 ? [] : [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)]);
        byte[] file = File.ReadAllBytes(Path.Combine(fp8, "model.safetensors"));
        int header = (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        (_whole["header"], _data) = (file[8..(8 + header)], file[(8 + header)..]);
        using var source = Checkpoint.OpenStored(fp8);
        _whole["model.safetensors.index.json"] = Utf8(new JsonObject
        {
            ["metadata"] = new JsonObject { ["total_size"] = source.ByteCount },
            ["weight_map"] = new JsonObject(source.Tensors.Select(tensor => KeyValuePair.Create(tensor.Name, (JsonNode?)"a.safetensors"))),
        });
        foreach (string name in Files) Put(name, _whole[name]);
    }

    public void Dispose() => _files.Dispose();

    [Fact]
    public void Every_damaged_checkpoint_opens_or_ends_in_a_named_error()
    {
        using (var whole = Checkpoint.Open(_files.Folder)) Assert.True(whole.Scheme!.IsQuantized);
        var random = new Random(Seed);
        var (clock, slowest, opened) = (Stopwatch.StartNew(), TimeSpan.Zero, 0);
        foreach (string name in Files)
        {
            for (int i = 0; i < CasesOfAFile; i++)
            {
                byte[] changed = Change(_whole[name], random);
                Put(name, changed);
                var start = clock.Elapsed;
                long allocated = GC.GetAllocatedBytesForCurrentThread();
                var error = Record.Exception(Use);
                Assert.True(error is null or CheckpointException, $"case {i}, {name}:\n{Encoding.UTF8.GetString(changed)}\n{error}");
                if (error is null) opened++;
                Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - allocated, 0, MostBytes);
                slowest = TimeSpan.FromTicks(Math.Max(slowest.Ticks, (clock.Elapsed - start).Ticks));
            }
            Put(name, _whole[name]);
        }
        int cases = CasesOfAFile * Files.Length;
        Assert.InRange(opened, cases / 20, cases * 19 / 20); // Both ends are reached often.
        Assert.True(slowest < TimeSpan.FromSeconds(5) && clock.Elapsed < TimeSpan.FromSeconds(30), $"{clock.Elapsed}, the slowest {slowest}");
    }

    private void Use()
    {
        using var checkpoint = Checkpoint.Open(_files.Folder);
        _ = CheckpointNotes.Of(checkpoint);
        ExpectedTensors.Check(checkpoint, checkpoint.Config);
        var row = new float[16];
        foreach (var tensor in checkpoint.Tensors.Where(tensor => tensor.Name.Contains("up_proj", StringComparison.Ordinal) && tensor.ElementCount >= row.Length))
            checkpoint.ReadFloats(tensor, tensor.ElementCount - row.Length, row);
    }

    private void Put(string name, byte[] bytes)
    {
        byte[] content = name == "header" ? TestFiles.Compose(bytes, _data) : bytes;
        using var file = new FileStream(_files.PathOf(name == "header" ? "a.safetensors" : name), FileMode.OpenOrCreate);
        file.Write(content);
        file.SetLength(content.Length); // Cutting a file to nothing first, as WriteAllBytes does, makes some file systems wait for the disk.
    }

    private static byte[] Utf8(JsonNode node) => Encoding.UTF8.GetBytes(node.ToJsonString());

    // One to three changes of the tree, sometimes one of the text on top.
    private static byte[] Change(byte[] json, Random random)
    {
        var root = JsonNode.Parse(json)!.AsObject();
        for (int changes = random.Next(1, 4); changes > 0; changes--) ChangeNode(root, random);
        string text = root.ToJsonString();
        if (random.Next(8) == 0) text = ChangeText(text, random);
        return Encoding.UTF8.GetBytes(text);
    }

    private static void ChangeNode(JsonObject root, Random random)
    {
        JsonNode node = root;
        while (random.Next(4) != 0 && Children(node) is { Count: > 0 } children) node = children[random.Next(children.Count)];
        switch (node)
        {
            case JsonObject fields when random.Next(3) == 0: fields[Names[random.Next(Names.Length)]] = Value(random); break;
            case JsonObject { Count: > 0 } fields when random.Next(2) == 0: fields.Remove(fields.ElementAt(random.Next(fields.Count)).Key); break;
            case JsonObject { Count: > 0 } fields: fields[fields.ElementAt(random.Next(fields.Count)).Key] = Value(random); break;
            case JsonArray { Count: > 0 } items when random.Next(2) == 0: items[random.Next(items.Count)] = Value(random); break;
            case JsonArray items: items.Add(Value(random)); break;
        }
    }

    private static List<JsonNode> Children(JsonNode node) => node switch
    {
        JsonObject fields => [.. fields.Select(field => field.Value).Where(value => value is JsonObject or JsonArray).OfType<JsonNode>()],
        JsonArray items => [.. items.Where(value => value is JsonObject or JsonArray).OfType<JsonNode>()],
        _ => [],
    };

    private static JsonNode? Value(Random random) => JsonNode.Parse(Values[random.Next(Values.Length)]);

    private static string ChangeText(string text, Random random)
    {
        int at = random.Next(text.Length);
        return random.Next(6) switch
        {
            0 => text[..at],
            1 => text.Insert(at, "\u0000"),
            2 => text.Insert(at, new string('[', 200)),
            3 => text + text,
            4 => text.Remove(at, 1),
            _ => text.Replace("\":", "\\ud800\":", StringComparison.Ordinal),
        };
    }
}
