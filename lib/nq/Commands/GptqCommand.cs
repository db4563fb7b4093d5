using System.CommandLine;
using NeuronQuant.Methods;
using NeuronQuant.Tuning;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq gptq</c>: round column by column with error feedback, and write the folder. Fast enough to need no resuming.</summary>
internal static class GptqCommand
{
    public static Command Create()
    {
        var options = new TuningOptions();
        var command = options.Command("gptq", "Round each weight column by column, feeding the error to the columns still to come, and write the folder.");
        command.SetAction((result, cancellation) => Task.Run(() => Run(options.Read(result), cancellation)));
        return command;
    }

    private static int Run(TuningRequest request, CancellationToken cancellation)
    {
        using var job = TuningJob.Open(request, TuningRecipe.Default, cancellation);
        var grams = GramMatrix.Capture(job.Model, job.Calibration, cancellation: cancellation);
        var tuned = CommandOutput.WithProgress("rounding", progress => Gptq.Tune(job.Model, job.Grids, grams, progress, cancellation), cancellation);
        job.Finish(tuned.Modules, tuned.ToDataFrame(), tuned.Layers.Select(layer => new { module = layer.Module.Name, layer.RoundedError, layer.Error }), null, cancellation);
        return 0;
    }
}
