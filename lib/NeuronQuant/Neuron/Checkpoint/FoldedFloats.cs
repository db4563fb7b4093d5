using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>The tensors in floating point that a method changed: gains with the inverse of what went into the codes, turned embeddings and
/// heads.</summary>
/// <remarks>
/// Written as bf16, which is what NxDI casts them to. Norms, biases and kept modules are replaced in place. An lm_head that a tied model does not
/// have goes only into layout fake, whose config.json says tie_word_embeddings false: beside codes for NxDI there is no config, and that of the
/// source would make NxDI put the embedding over it.
/// </remarks>
internal sealed class FoldedFloats
{
    private readonly CheckpointLayout _layout;
    private readonly Dictionary<string, float[]> _values = [];
    private readonly List<string> _added = [];

    /// <exception cref="QuantizationException">a changed tensor is quantized by the plan, or the source has none of that size</exception>
    public FoldedFloats(Checkpoint source, QuantizationPlan plan, CheckpointLayout layout, QuantizedModules? chosen)
    {
        _layout = layout;
        var known = source.Tensors.ToDictionary(tensor => NeuronCheckpoint.Bare(tensor.Name));
        foreach (var (name, values) in chosen?.Floats ?? QuantizedModules.NoFloats)
        {
            string bare = NeuronCheckpoint.Bare(name);
            _values[bare] = values;
            if (known.TryGetValue(bare, out var tensor)) Check(tensor, plan, values, chosen!);
            else if (bare == "lm_head.weight" && source.HasConfig && source.Config.TieWordEmbeddings
                && layout == CheckpointLayout.Fake) _added.Add(bare);
            else
                throw new QuantizationException(name, bare == "lm_head.weight"
                    ? "the method gave a tied model a head of its own, which NxDI overwrites with the embedding as long as the source's "
                        + "config.json ties them. Write layout fake, whose config.json does not, and quantize that folder with nq quantize."
                    : "was changed by the method, and the source has no such tensor. Are they of one model?");
        }
        if (_added.Count > 0)
            Added = [new TensorDeclaration("lm_head.weight", TensorType.BF16, [source.Config.VocabularySize, source.Config.HiddenSize])];
        Digests = _values.ToDictionary(pair => pair.Key, pair => Rows(pair.Key, pair.Value, known, source));
    }

    /// <summary>Tensors that the source does not have.</summary>
    public IReadOnlyList<TensorDeclaration> Added { get; } = [];

    /// <summary>True when the folder has a head that the source has not.</summary>
    public bool Unties => _added.Count > 0;

    /// <summary>For the witness: name without "model.", digest of each row's bf16 values.</summary>
    public IReadOnlyDictionary<string, ulong[]> Digests { get; }

    /// <summary>Writes a tensor of the source, if it was changed.</summary>
    public bool Write(CheckpointWriter writer, TensorInfo tensor)
    {
        string bare = NeuronCheckpoint.Bare(tensor.Name);
        if (!_values.TryGetValue(bare, out float[]? values)) return false;
        Write(writer, _layout == CheckpointLayout.Nxd ? bare : tensor.Name, values);
        return true;
    }

    /// <summary>Writes what the source does not have.</summary>
    public void WriteAdded(CheckpointWriter writer)
    {
        foreach (string name in _added) Write(writer, name, _values[name]);
    }

    private static void Write(CheckpointWriter writer, string name, float[] values)
    {
        var codes = new ushort[values.Length];
        BFloat16.Encode(values, codes);
        FiniteValues.Check(name, 0, codes);
        writer.Write(name, MemoryMarshal.AsBytes(codes.AsSpan()));
    }

    private static void Check(TensorInfo tensor, QuantizationPlan plan, float[] values, QuantizedModules chosen)
    {
        if (tensor.ElementCount != values.LongLength)
            throw new QuantizationException(tensor.Name,
                $"has {tensor.ElementCount} values, and the method changed {values.Length}. Are they of one model?");
        if (NeuronCheckpoint.IsQuantized(tensor, plan))
            throw new QuantizationException(tensor.Name,
                $"is quantized by the plan, and {chosen.Method} gave it no codes but other values. Apply the method with the plan that is written.");
    }

    private static ulong[] Rows(string name, float[] values, Dictionary<string, TensorInfo> known, Checkpoint source)
    {
        int columns = known.TryGetValue(name, out var tensor) ? (int)tensor.Shape[^1] : source.Config.HiddenSize;
        return [.. Enumerable.Range(0, values.Length / columns).Select(row => ChosenCodes.Digest(values.AsSpan(row * columns, columns)))];
    }
}
