using System.CommandLine;
using NeuronQuant.Tuning;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq autoround</c>: learn the rounding of every block and write the folder. Finished blocks are kept beside it, in OUT.tuning, until
/// it is written; --resume goes on from them, and a run that differs in anything is refused by name.
/// </summary>
internal static class AutoRoundCommand
{
    public static Command Create()
    {
        var options = new TuningOptions();
        var recipe = Arguments.Choice("--recipe", "How long to learn: 50, 200 or 1000 iterations a block", "default", "light", "default", "best");
        var iterations = new Option<int?>("--iterations") { Description = "Another number of iterations, at the recipe's rate." };
        iterations.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() < 1) result.AddError("--iterations: give a number above zero.");
        });
        var resume = new Option<bool>("--resume") { Description = "Go on with an interrupted run of the same options." };
        var command = options.Command("autoround", "Tune the rounding of every block by signed gradient descent, and write the folder.");
        command.Add(recipe);
        command.Add(iterations);
        command.Add(resume);
        command.SetAction((result, cancellation) =>
        {
            var chosen = TuningRecipe.Parse(result.GetRequiredValue(recipe));
            if (result.GetValue(iterations) is int count) chosen = chosen with { Name = $"{chosen.Name}, {count} iterations", Iterations = count };
            return Task.Run(() => Run(options.Read(result), chosen, result.GetValue(resume), cancellation));
        });
        return command;
    }

    private static int Run(TuningRequest request, TuningRecipe recipe, bool resume, CancellationToken cancellation)
    {
        string state = request.State;
        if (!resume && Directory.Exists(state))
            throw new UsageException($"{state} holds the finished blocks of an interrupted run. Add --resume to go on, or delete it to start again.");
        recipe = recipe with { Samples = request.Samples ?? recipe.Samples, SequenceLength = request.SequenceLength };
        using var job = TuningJob.Open(request, recipe, cancellation);
        var tuned = CommandOutput.WithProgress("tuning", progress => AutoRound.Tune(job.Walk, job.Grids, job.Calibration, recipe, stateFolder: state,
            progress: step => progress((long)step.Layer * step.Iterations + step.Iteration + 1, (long)step.Layers * step.Iterations), cancellation: cancellation), cancellation);
        job.Finish(tuned.Modules, tuned.ToDataFrame(), tuned.Blocks.Select(block => new
        {
            block = $"layers.{block.Layer}",
            modules = block.Weights.Count,
            block.RoundedLoss,
            block.TunedLoss,
            block.BestIteration,
        }), recipe.Seed, cancellation);
        Directory.Delete(state, recursive: true);
        return 0;
    }
}
