using System.CommandLine;
using NeuronQuant.Checkpoints;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq inspect</c>: what a checkpoint is, from its headers and config alone; a 24 GB model takes no longer than a small one, unless it is
/// tied and stores a head all the same. It shows the tensors as they lie, so it also tells what no other command can read.
/// </summary>
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
        using var stored = Checkpoint.OpenStored(path);
        var scheme = SourceScheme.Of(stored);
        using var values = scheme.Refusal is null ? Checkpoint.Open(path) : null;
        var config = stored.HasConfig ? stored.Config : null;
        if (values is not null && config is not null) ExpectedTensors.Check(values, config);
        string summary = CheckpointSummary.Of(stored, scheme, values);
        string[] notes = values is null ? [.. stored.Notes, scheme.Refusal!.Message] : [.. CheckpointNotes.Of(values)];
        long parameters = (values ?? stored).Tensors.Sum(tensor => tensor.ElementCount);
        if (json)
        {
            Document(path, stored, parameters, config, summary, notes);
            return 0;
        }
        CommandOutput.Say(FormattableString.Invariant(
            $"{path}: {stored.Tensors.Length} tensors, {parameters / 1e6:0.###} M parameters, {stored.ByteCount / 1e9:0.####} GB in {stored.Files.Count} file(s)"));
        CommandOutput.Say(summary);
        if (config is not null) CommandOutput.Show(config.ToDataFrame());
        else CommandOutput.Note("there is no config.json beside the weights; shapes cannot be checked against it.");
        CommandOutput.Show(stored.ToDataFrame());
        foreach (string note in notes) CommandOutput.Note(note);
        return 0;
    }

    private static void Document(string path, Checkpoint stored, long parameters, ModelConfig? config, string summary, string[] notes) =>
        CommandOutput.Json(new
        {
            path,
            summary,
            source = Path.GetFileName(stored.Source),
            files = stored.Files.Select(Path.GetFileName),
            config,
            bytes = stored.ByteCount,
            parameters,
            notes,
            tensors = stored.Tensors.Select(tensor =>
                new { tensor.Name, type = tensor.Type.Name(), tensor.Shape, file = Path.GetFileName(tensor.File), bytes = tensor.ByteCount }),
        });
}
