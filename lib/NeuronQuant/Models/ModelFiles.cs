using System.Collections.Immutable;
using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Tensors;

namespace NeuronQuant.Models;

/// <summary>A model from and to a checkpoint in Hugging Face's layout.</summary>
/// <remarks>
/// Loading takes any type that decodes to float (bf16, f16, f32) and holds names and shapes against config.json first. A config without tied
/// embeddings but a checkpoint without lm_head is an error, as is the contrary of it: an lm_head that differs from a tied embedding.
/// Saving writes bf16, rounded to nearest even, and the fields of config.json that this library knows; a tied head is not written.
/// </remarks>
public static class ModelFiles
{
    private const int ChunkValues = 1 << 20; // 2 MB of bf16 at a time.

    /// <summary>Loads a model from a folder or a .safetensors file with config.json beside it.</summary>
    /// <param name="path">folder or file</param>
    /// <exception cref="CheckpointException">a tensor is missing, has another shape than the config says or another type than floats</exception>
    /// <exception cref="ModelException">the config asks for something that this model does not compute</exception>
    /// <param name="place">null for float32 on the processor</param>
    public static LlamaModel Load(string path, Placement? place = null)
    {
        using var checkpoint = Checkpoint.Open(path);
        return Load(checkpoint, place);
    }

    /// <summary>Loads a model from an open checkpoint.</summary>
    /// <param name="checkpoint">the checkpoint; may be closed afterwards</param>
    /// <param name="place">null for float32 on the processor</param>
    public static LlamaModel Load(Checkpoint checkpoint, Placement? place = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        ExpectedTensors.Check(checkpoint, checkpoint.Config);
        var model = new LlamaModel(checkpoint.Config, place);
        foreach (var parameter in model.Parameters) Read(checkpoint, parameter);
        if (model.Config.TieWordEmbeddings && checkpoint.Find("lm_head.weight") is { } head) CheckTied(checkpoint, head, model);
        return model;
    }

    /// <summary>Writes model.safetensors as bf16 and config.json into a folder.</summary>
    /// <param name="model">the model</param>
    /// <param name="folder">made when missing</param>
    /// <param name="overwrite">whether a checkpoint that is already there may be replaced</param>
    public static void Save(LlamaModel model, string folder, bool overwrite = false)
    {
        ArgumentNullException.ThrowIfNull(model);
        var declarations = model.Parameters.Select(p => new TensorDeclaration(p.Name, TensorType.BF16, ShapeOf(p)));
        using var writer = CheckpointWriter.Create(folder, declarations, overwrite: overwrite);
        var codes = new ushort[Math.Max(ChunkValues, model.Parameters.Max(parameter => parameter.Columns))];
        foreach (var parameter in model.Parameters)
            foreach (float[] values in parameter.InRows(ChunkValues))
            {
                BFloat16.Encode(values, codes.AsSpan(0, values.Length));
                writer.Write(parameter.Name, MemoryMarshal.AsBytes(codes.AsSpan(0, values.Length)));
            }
        writer.Complete();
        File.WriteAllBytes(Path.Combine(folder, "config.json"), ModelConfigWriter.Bytes(model.Config));
    }

    /// <summary>Fills a parameter from the checkpoint, some rows at a time.</summary>
    internal static void Read(Checkpoint checkpoint, Parameter parameter)
    {
        var info = Find(checkpoint, parameter.Name);
        int columns = parameter.Columns, step = Math.Max(1, ChunkValues / columns);
        for (int first = 0; first < parameter.Rows; first += step)
        {
            int rows = Math.Min(step, parameter.Rows - first);
            var values = new float[rows * columns];
            checkpoint.ReadFloats(info, (long)first * columns, values);
            int at = first;
            Torch.Run(() =>
            {
                var part = parameter.Tensor.narrow(0, at, rows);
                part.copy_(TorchSharp.torch.tensor(values).view(part.shape));
            });
        }
    }

    private static ImmutableArray<long> ShapeOf(Parameter parameter) => [.. parameter.Tensor.shape];

    private static TensorInfo Find(Checkpoint checkpoint, string name)
    {
        var module = ModuleName.OfTensor(name, out string part);
        return checkpoint.Find(module, part) ?? checkpoint[name];
    }

    private static void CheckTied(Checkpoint checkpoint, TensorInfo head, LlamaModel model)
    {
        using var table = new LlamaModel(model.Config with { LayerCount = 0 }, model.Place);
        if (head.ElementCount == table.Embedding.Tensor.numel()) Read(checkpoint, new Parameter("lm_head.weight", table.Embedding.Tensor, 0, table.Embedding.Rows));
        if (!Torch.Run(() => table.Embedding.Tensor.eq(model.Embedding.Tensor).all().item<bool>()))
            throw new ModelException("lm_head", $"config.json of {checkpoint.Source} ties it to the embedding, but the file holds another lm_head.weight. "
                + "Set tie_word_embeddings to false to use it, or remove the tensor.");
    }
}
