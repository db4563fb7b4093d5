using System.Collections.Immutable;

namespace NeuronQuant.Checkpoints;

/// <summary>A tensor that a model of some config must have.</summary>
/// <param name="Module">The module that owns it.</param>
/// <param name="Parameter">weight or bias.</param>
/// <param name="Shape">Dimensions; a linear layer's weight is [out, in].</param>
public sealed record ExpectedTensor(ModuleName Module, string Parameter, ImmutableArray<long> Shape)
{
    /// <summary>The name in a Hugging Face checkpoint.</summary>
    public string Name => $"{Module.HuggingFaceName}.{Parameter}";
}

/// <summary>Derives names and shapes of all tensors from a config, and holds a checkpoint against them.</summary>
/// <remarks>
/// With h = hidden, q = heads * head size, k = key-value heads * head size, m = intermediate, v = vocabulary:
///   embed_tokens [v, h]; per layer q_proj [q, h], k_proj and v_proj [k, h], o_proj [h, q], gate_proj and up_proj [m, h],
///   down_proj [h, m], both norms [h], in Qwen3 q_norm and k_norm [head size]; norm [h]; lm_head [v, h], which tied models may leave out.
/// A bias has the shape [out]. Tensors beyond these are no error; <see cref="Unread"/> lists them.
/// </remarks>
public static class ExpectedTensors
{
    /// <summary>All expected tensors, in the order of a forward pass; produced as they are asked for.</summary>
    public static IEnumerable<ExpectedTensor> Of(ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        yield return Weight(null, "embed_tokens", config.VocabularySize, config.HiddenSize);
        for (int layer = 0; layer < config.LayerCount; layer++)
            foreach (var tensor in OfLayer(config, layer)) yield return tensor;
        yield return Weight(null, "norm", config.HiddenSize);
        if (!config.TieWordEmbeddings) yield return Weight(null, "lm_head", config.VocabularySize, config.HiddenSize);
    }

    /// <summary>Throws at the first tensor that is missing or has another shape than the config says; its bytes are not looked at.</summary>
    /// <exception cref="CheckpointException">Names the tensor, both shapes and the config.</exception>
    public static void Check(Checkpoint checkpoint, ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        foreach (var expected in Of(config))
        {
            var found = checkpoint.Find(expected.Module, expected.Parameter)
                ?? throw new CheckpointException(CheckpointFailure.ExpectedTensorMissing, checkpoint.Source, expected.Name, "no such tensor",
                    $"one of shape {CheckpointException.Quote(expected.Shape)}, as {config.File} says",
                    "Weights and config are of different models, or a shard is missing: download both again.");
            if (found.Shape.SequenceEqual(expected.Shape)) continue;
            throw new CheckpointException(CheckpointFailure.ExpectedShapeDiffers, found.File, found.Name,
                $"shape {CheckpointException.Quote(found.Shape)}", $"{CheckpointException.Quote(expected.Shape)}, as {config.File} says",
                "Weights and config are of different models: download both again.");
        }
    }

    /// <summary>
    /// Names of the tensors that nothing of this config reads: a bias that it does not announce, an adapter's rest, buffers of old exports.
    /// </summary>
    public static IReadOnlyList<string> Unread(Checkpoint checkpoint, ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        var read = Of(config).Select(tensor => (tensor.Module, tensor.Parameter)).Append((new ModuleName(null, "lm_head"), "weight")).ToHashSet();
        return [.. checkpoint.Tensors.Select(tensor => tensor.Name)
            .Where(name => !read.Contains((ModuleName.OfTensor(name, out string parameter), parameter)))];
    }

    private static IEnumerable<ExpectedTensor> OfLayer(ModelConfig config, int layer)
    {
        int hidden = config.HiddenSize, query = config.QuerySize, keyValue = config.KeyValueSize, middle = config.IntermediateSize;
        bool bias = config.HasQueryKeyValueBias;
        return [
            Weight(layer, "input_layernorm", hidden),
            .. Linear(layer, "self_attn.q_proj", query, hidden, bias),
            .. Linear(layer, "self_attn.k_proj", keyValue, hidden, bias),
            .. Linear(layer, "self_attn.v_proj", keyValue, hidden, bias),
            .. config.HasQueryKeyNorm ? [Weight(layer, "self_attn.q_norm", config.HeadSize), Weight(layer, "self_attn.k_norm", config.HeadSize)] : Array.Empty<ExpectedTensor>(),
            .. Linear(layer, "self_attn.o_proj", hidden, query, config.HasOutputBias),
            Weight(layer, "post_attention_layernorm", hidden),
            .. Linear(layer, "mlp.gate_proj", middle, hidden, config.HasMlpBias),
            .. Linear(layer, "mlp.up_proj", middle, hidden, config.HasMlpBias),
            .. Linear(layer, "mlp.down_proj", hidden, middle, config.HasMlpBias),
        ];
    }

    private static IEnumerable<ExpectedTensor> Linear(int layer, string type, long rows, long columns, bool bias)
    {
        yield return Weight(layer, type, rows, columns);
        if (bias) yield return new ExpectedTensor(new ModuleName(layer, type), "bias", [rows]);
    }

    private static ExpectedTensor Weight(int? layer, string type, params ImmutableArray<long> shape) =>
        new(new ModuleName(layer, type), "weight", shape);
}
