using System.CommandLine;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq inspect</c>: what a checkpoint is, from its headers and config alone; a 24 GB model takes no longer than a small one.</summary>
internal static class InspectCommand
{
    public static Command Create()
    {
        var (model, json) = (Arguments.Model(), Arguments.Json());
        var command = new Command("inspect", "Say what a checkpoint holds: config, modules, types, sizes.") { model, json };
        command.SetAction(result => Run(result.GetRequiredValue(model), result.GetValue(json)));
        return command;
    }

    private static int Run(string path, bool json)
    {
        using var checkpoint = Checkpoint.Open(path);
        var config = checkpoint.HasConfig ? checkpoint.Config : null;
        if (config is { QuantizationMethod: null }) ExpectedTensors.Check(checkpoint, config);
        var groups = checkpoint.Tensors.GroupBy(tensor => (Module: ModuleName.OfTensor(tensor.Name, out string parameter).Type, Parameter: parameter, Stored: tensor.Type.Name())).ToArray();
        if (json)
        {
            CommandOutput.Json(new
            {
                path,
                source = Path.GetFileName(checkpoint.Source),
                files = checkpoint.Files.Select(Path.GetFileName),
                config,
                bytes = checkpoint.ByteCount,
                parameters = checkpoint.Tensors.Sum(tensor => tensor.ElementCount),
                notes = checkpoint.Notes,
                tensors = checkpoint.Tensors.Select(tensor => new { tensor.Name, type = tensor.Type.Name(), tensor.Shape, file = Path.GetFileName(tensor.File), bytes = tensor.ByteCount }),
            });
            return 0;
        }
        CommandOutput.Say(FormattableString.Invariant(
            $"{path}: {checkpoint.Tensors.Length} tensors, {checkpoint.Tensors.Sum(tensor => tensor.ElementCount) / 1e6:0.###} M parameters, {checkpoint.ByteCount / 1e9:0.####} GB in {checkpoint.Files.Count} file(s)"));
        if (config is not null) CommandOutput.Show(ConfigTable(config));
        else CommandOutput.Note("there is no config.json beside the weights; shapes cannot be checked against it.");
        var table = new Table("", "module type", "tensor", "type", "shape of the first", "count", new Column("MB", "0.###"));
        foreach (var group in groups)
            table.Row(group.Key.Module, group.Key.Parameter, group.Key.Stored, $"[{string.Join(", ", group.First().Shape)}]", group.Count(), group.Sum(tensor => tensor.ByteCount) / 1e6);
        CommandOutput.Show(table);
        foreach (string note in checkpoint.Notes) CommandOutput.Note(note);
        return 0;
    }

    private static Table ConfigTable(ModelConfig config) => new Table("config.json", "field", "value")
        .Row("family", $"{config.Family}")
        .Row("layers", config.LayerCount)
        .Row("hidden_size", config.HiddenSize)
        .Row("intermediate_size", config.IntermediateSize)
        .Row("attention", $"{config.HeadCount} query heads, {config.KeyValueHeadCount} key/value heads of {config.HeadSize}")
        .Row("vocab_size", config.VocabularySize)
        .Row("tie_word_embeddings", $"{config.TieWordEmbeddings}")
        .Row("sliding_window", config.SlidingWindow is { } window ? $"{window}" : "none")
        .Row("rope", FormattableString.Invariant($"theta {config.RopeTheta}{(config.RopeScaling is null ? "" : $", {config.RopeScaling}")}"));
}
