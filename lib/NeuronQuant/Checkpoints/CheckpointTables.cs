using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.Checkpoints;

/// <summary>A checkpoint at a glance: what `nq inspect` and a notebook show of it.</summary>
public static class CheckpointTables
{
    /// <summary>A row for each kind of tensor: module type, parameter, element type, shape of the first, how many, megabytes (1e6).</summary>
    public static DataFrame ToDataFrame(this Checkpoint checkpoint)
    {
        var table = new FrameRows("", "module type", "tensor", "type", "shape of the first", "count", new Column("MB", "0.###"));
        foreach (var group in checkpoint.Tensors.GroupBy(Kind))
            table.Row(group.Key.Module, group.Key.Parameter, group.Key.Type, $"[{string.Join(", ", group.First().Shape)}]", group.Count(), group.Sum(tensor => tensor.ByteCount) / 1e6);
        return table;
    }

    /// <summary>The architecture in a few rows.</summary>
    public static DataFrame ToDataFrame(this ModelConfig config)
    {
        var table = Rows(config);
        return config.NotComputed is { } obstacle ? table.Row("forward pass", $"not computed here: {obstacle}") : table;
    }

    private static FrameRows Rows(ModelConfig config) => new FrameRows("config.json", "field", "value")
        .Row("family", $"{config.Family}")
        .Row("layers", $"{config.LayerCount}")
        .Row("hidden_size", $"{config.HiddenSize}")
        .Row("intermediate_size", $"{config.IntermediateSize}")
        .Row("attention", $"{config.HeadCount} query heads, {config.KeyValueHeadCount} key/value heads of {config.HeadSize}")
        .Row("vocab_size", $"{config.VocabularySize}")
        .Row("tie_word_embeddings", config.TieWordEmbeddings ? "yes" : "no")
        .Row("sliding_window", config.SlidingWindow is { } window ? $"{window}" : "none")
        .Row("rope", FormattableString.Invariant($"theta {config.RopeTheta}{(config.RopeScaling is null ? "" : $", {config.RopeScaling}")}"));

    private static (string Module, string Parameter, string Type) Kind(TensorInfo tensor) =>
        (ModuleName.OfTensor(tensor.Name, out string parameter).Type, parameter, tensor.Type.Name());
}
