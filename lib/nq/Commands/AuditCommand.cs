using System.CommandLine;
using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq audit</c>: replay NxDI's quantization on a written folder; exit code 1 when anything was found.</summary>
internal static class AuditCommand
{
    public static Command Create()
    {
        var source = new Argument<string>("SOURCE") { Description = "The checkpoint in floating point." };
        var written = new Argument<string>("WRITTEN") { Description = "The folder that was written from it." };
        var (json, keep) = (Arguments.Json(), Arguments.Keep());
        var command = new Command("audit", "Check a written folder as NxD Inference's loader would, and replay its quantization.") { source, written, keep, json };
        command.SetAction((result, cancellation) => Task.Run(() => Run(
            result.GetRequiredValue(source), result.GetRequiredValue(written), result.GetValue(keep), result.GetValue(json), cancellation)));
        return command;
    }

    private static int Run(string sourcePath, string written, string[]? keep, bool json, CancellationToken cancellation)
    {
        using var source = ModelSource.Open(sourcePath);
        var report = CommandOutput.WithProgress("auditing", progress => CheckpointAudit.Run(source, written, keep is { Length: > 0 } ? keep : null, progress, cancellation), cancellation);
        if (json)
        {
            CommandOutput.Json(new
            {
                report.Passed,
                report.Layout,
                report.Plan,
                integers_changed = report.Changed,
                modules = report.Modules.Select(module => new { module = module.Module.Name, module.Stored, module.Weights, module.Changed }),
                report.Findings,
                report.Notes,
            });
            return report.Passed ? 0 : 1;
        }
        CommandOutput.Show(report.ToDataFrame());
        if (!report.Passed) CommandOutput.Show(report.ToFindingsDataFrame());
        CommandOutput.Say($"{report}");
        return report.Passed ? 0 : 1;
    }
}
