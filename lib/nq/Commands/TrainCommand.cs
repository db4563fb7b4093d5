using System.CommandLine;
using NeuronQuant.Display;
using NeuronQuant.Evaluation;
using NeuronQuant.Models;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq train</c>: make the demo model again, from its seed, on problems generated on the way.</summary>
internal static class TrainCommand
{
    public static Command Create()
    {
        var output = new Option<string>("--out") { Description = "The folder to write.", Required = true };
        var deep = new Option<bool>("--deep") { Description = "The deep model: 12 thin layers, learning documents of 1,024 tokens." };
        var seed = new Option<ulong?>("--seed") { Description = "Chooses weights and problems." };
        var steps = Sized("--steps", "Updates.");
        var batch = Sized("--batch", "Problems in a step, of the demo model.");
        var layers = Sized("--layers", "Decoder layers.");
        var overwrite = new Option<bool>("--overwrite") { Description = "Replace a checkpoint that is already in the folder." };
        var outliers = new Option<string?>("--activation-outliers") { Description = "Not from nothing: train the model in this folder on, on the demo task, until two channels of its hidden state stand far above the others. Made on purpose, to measure what they do." };
        var command = new Command("train", "Train a demo model from nothing; with its own options the same bytes come out on the same machine.")
            { output, deep, seed, steps, batch, layers, outliers, overwrite };
        command.Validators.Add(result =>
        {
            if (result.GetValue(deep) && result.GetValue(batch) is not null) result.AddError("--batch: a step of the deep model has a fixed number of tokens; leave it out.");
        });
        command.Validators.Add(result =>
        {
            if (result.GetValue(outliers) is not null && (result.GetValue(deep) || result.GetValue(layers) is not null))
                result.AddError("--activation-outliers: trains a model that is there, whose size is given; leave out --deep and --layers.");
        });
        command.SetAction((result, cancellation) => Task.Run(() =>
        {
            string folder = CheckpointTarget.Free(result.GetRequiredValue(output), result.GetValue(overwrite));
            if (result.GetValue(outliers) is { } from)
            {
                var asked = new ActivationOutlierRecipe();
                return RunOutliers(from, folder, asked with
                {
                    Seed = result.GetValue(seed) ?? asked.Seed,
                    Steps = result.GetValue(steps) ?? asked.Steps,
                    Batch = result.GetValue(batch) ?? asked.Batch,
                }, cancellation);
            }
            var recipe = result.GetValue(deep) ? DemoRecipe.Deep : new DemoRecipe();
            recipe = recipe with
            {
                Seed = result.GetValue(seed) ?? recipe.Seed,
                Steps = result.GetValue(steps) ?? recipe.Steps,
                Batch = result.GetValue(batch) ?? recipe.Batch,
                Layers = result.GetValue(layers) ?? recipe.Layers,
            };
            return Run(recipe, folder, cancellation);
        }));
        return command;
    }

    private static int RunOutliers(string from, string folder, ActivationOutlierRecipe recipe, CancellationToken cancellation)
    {
        ModelSource.Say(from);
        var model = WithSteps(recipe.Steps, report => ActivationOutliers.Run(from, folder, recipe, report, cancellation), cancellation);
        CommandOutput.Say($"{folder}: {recipe.Steps} steps; channels {string.Join(", ", ActivationOutliers.Chosen(recipe, model.Config.HiddenSize)
            .Select(one => one.Channel).Order())} were made large on purpose. See what it did: nq study inputs {folder}, nq eval {folder}");
        return 0;
    }

    private static LlamaModel WithSteps(int steps, Func<Action<TrainingStep>, LlamaModel> train, CancellationToken cancellation)
    {
        using var line = new ProgressLine(Console.Error, Console.IsErrorRedirected) { Subject = "training" };
        var progress = new Progress(steps, line.Show, cancellation);
        return train(step => progress.Advance(1, FormattableString.Invariant($"loss {step.Loss:0.000}, {step.TokensPerSecond:0} tokens/s")));
    }

    private static int Run(DemoRecipe recipe, string folder, CancellationToken cancellation)
    {
        var model = WithSteps(recipe.Steps, report => DemoTraining.Run(recipe, folder, report, cancellation), cancellation);
        CommandOutput.Say(FormattableString.Invariant($"{folder}: {model.ParameterCount / 1e6:0.00} M parameters, {recipe.Steps} steps; see {DemoTraining.LogName} and {DemoTraining.ManifestName}."));
        return 0;
    }

    private static Option<int?> Sized(string name, string description)
    {
        var option = new Option<int?>(name) { Description = description };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() < 1) result.AddError($"{name}: give a number above zero.");
        });
        return option;
    }
}
