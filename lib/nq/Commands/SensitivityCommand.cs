using System.CommandLine;
using NeuronQuant.Checkpoints;
using NeuronQuant.Sensitivity;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq sensitivity</c>: every metric of every weight, from one pass over the checkpoint.</summary>
internal static class SensitivityCommand
{
    public static Command Create()
    {
        var (model, json) = (Arguments.Model(), Arguments.Json());
        var command = new Command("sensitivity", "Measure every weight: outlier magnitude, crest factor, kurtosis, int8 error.") { model, json };
        command.SetAction((result, cancellation) => Task.Run(() => Run(result.GetRequiredValue(model), result.GetValue(json), cancellation)));
        return command;
    }

    private static int Run(string path, bool json, CancellationToken cancellation)
    {
        using var checkpoint = ModelSource.Open(path);
        if (checkpoint.HasConfig) _ = checkpoint.Config; // Of a family with other modules only some would be measured, and nothing would say so.
        var profile = CommandOutput.WithProgress("measuring", progress => ModelProfile.Measure(checkpoint, progress, cancellation), cancellation);
        if (!json)
        {
            CommandOutput.Show(profile.ToDataFrame());
            return 0;
        }
        CommandOutput.Json(new
        {
            path,
            notes = CheckpointNotes.Of(checkpoint),
            modules = profile.Modules.Select(entry => new
            {
                module = entry.Module.Name,
                type = entry.Module.Type,
                layer = entry.Module.Layer,
                linear = entry.Module.IsLinear,
                entry.Tensor,
                shape = new[] { entry.Rows, entry.Columns },
                entry.OutlierMagnitude,
                entry.CrestFactor,
                entry.LargestCrestFactor,
                entry.Kurtosis,
                entry.Int8Mse,
                entry.Int8Sqnr,
                entry.AbsoluteMaximum,
            }),
        });
        return 0;
    }
}
