using System.CommandLine;
using NeuronQuant.Checkpoints;
using NeuronQuant.Quantization;
using NeuronQuant.Sensitivity;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq sensitivity</c>: every metric of every weight, from one pass over the checkpoint.</summary>
internal static class SensitivityCommand
{
    public static Command Create()
    {
        var (model, json) = (Arguments.Model(), Arguments.Json());
        var grid = new GridOptions();
        var command = new Command("sensitivity",
            "Measure every weight: outlier magnitude, crest factor, kurtosis, int8 error, and the error of another grid.") { model, json };
        grid.AddTo(command);
        command.SetAction((result, cancellation) => Task.Run(
            () => Run(result.GetRequiredValue(model), grid.Read(result), result.GetValue(json), cancellation)));
        return command;
    }

    private static int Run(string path, Grid? grid, bool json, CancellationToken cancellation)
    {
        using var checkpoint = ModelSource.Open(path);
        if (checkpoint.HasConfig) _ = checkpoint.Config; // Of a family with other modules only some would be measured, and nothing would say so.
        Metric[] own = grid is null ? [] : [Metric.Mse(grid), Metric.Sqnr(grid)];
        var profile = CommandOutput.WithProgress("measuring",
            progress => ModelProfile.Measure(checkpoint, progress, cancellation, own), cancellation);
        if (!json)
        {
            CommandOutput.Show(profile.ToDataFrame());
            return 0;
        }
        CommandOutput.Json(new
        {
            path,
            grid = grid?.ToString(),
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
                GridMse = own.Length == 0 ? null : entry[own[0]],
                GridSqnr = own.Length == 0 ? null : entry[own[1]],
            }),
        });
        return 0;
    }
}
