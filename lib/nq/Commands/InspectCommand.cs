using System.CommandLine;
using NeuronQuant.Checkpoints;

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
        if (config is not null) CommandOutput.Show(config.ToTable());
        else CommandOutput.Note("there is no config.json beside the weights; shapes cannot be checked against it.");
        CommandOutput.Show(checkpoint.ToTable());
        foreach (string note in checkpoint.Notes) CommandOutput.Note(note);
        return 0;
    }
}
