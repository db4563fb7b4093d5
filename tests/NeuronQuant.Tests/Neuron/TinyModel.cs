using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;

namespace NeuronQuant.Tests.Neuron;

/// <summary>A Llama of two layers with random weights, written to a temporary folder: everything of a real checkpoint, in kilobytes.</summary>
public sealed class TinyModel : IDisposable
{
    public const int Hidden = 32, Intermediate = 48, Heads = 4, KeyValueHeads = 2, Vocabulary = 64, Layers = 2;

    public TinyModel(TensorType type = TensorType.BF16, bool tied = false, long shardBytes = CheckpointWriter.DefaultShardBytes)
    {
        Root = Directory.CreateTempSubdirectory("neuronquant-").FullName;
        Folder = Path.Combine(Root, "model");
        Directory.CreateDirectory(Folder);
        File.WriteAllText(Path.Combine(Folder, "config.json"), $$"""
            {"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":{{Hidden}},"intermediate_size":{{Intermediate}},
             "num_hidden_layers":{{Layers}},"num_attention_heads":{{Heads}},"num_key_value_heads":{{KeyValueHeads}},"vocab_size":{{Vocabulary}},
             "max_position_embeddings":64,"rms_norm_eps":1e-5,"rope_theta":10000.0,"hidden_act":"silu","tie_word_embeddings":{{(tied ? "true" : "false")}},
             "bos_token_id":1,"eos_token_id":2,"torch_dtype":"bfloat16"}
            """);
        var tensors = ExpectedTensors.Of(ModelConfig.Read(Path.Combine(Folder, "config.json"))).ToArray();
        using var writer = CheckpointWriter.Create(Folder, tensors.Select(tensor => new TensorDeclaration(tensor.Name, type, tensor.Shape)),
            shardBytes);
        for (int i = 0; i < tensors.Length; i++)
        {
            float[] values = TestWeights.Normal((int)tensors[i].Shape.Aggregate(1L, (a, b) => a * b), seed: i + 1);
            writer.Write(tensors[i].Name, Bytes(values, type));
        }
        writer.Complete();
    }

    public string Root { get; }

    public string Folder { get; }

    public string PathOf(string name) => Path.Combine(Root, name);

    public Checkpoint Open() => Checkpoint.Open(Folder);

    /// <summary>Copies a written folder; each tensor becomes what the change makes of it, none or several.</summary>
    public string Rewrite(string folder, string target, Func<TensorInfo, byte[], IEnumerable<(TensorDeclaration Tensor, byte[] Bytes)>> change)
    {
        target = PathOf(target);
        Directory.CreateDirectory(target);
        foreach (string file in Directory.EnumerateFiles(folder, "*.json").Where(file => !file.EndsWith("index.json", StringComparison.Ordinal)))
            File.Copy(file, Path.Combine(target, Path.GetFileName(file)));
        using var source = Checkpoint.OpenStored(folder);
        var tensors = source.Tensors.SelectMany(tensor => change(tensor, source.Bytes(tensor, 0, (int)tensor.ByteCount).ToArray())).ToArray();
        using var writer = CheckpointWriter.Create(target, tensors.Select(entry => entry.Tensor));
        foreach (var (tensor, bytes) in tensors) writer.Write(tensor.Name, bytes);
        writer.Complete();
        return target;
    }

    public void Dispose() => Directory.Delete(Root, recursive: true);

    private static byte[] Bytes(float[] values, TensorType type)
    {
        if (type == TensorType.F32) return MemoryMarshal.AsBytes(values.AsSpan()).ToArray();
        var codes = new ushort[values.Length];
        if (type == TensorType.F16)
            for (int i = 0; i < codes.Length; i++) codes[i] = BitConverter.HalfToUInt16Bits((Half)values[i]);
        else BFloat16.Encode(values, codes);
        return MemoryMarshal.AsBytes(codes.AsSpan()).ToArray();
    }
}
