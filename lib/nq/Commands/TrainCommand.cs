using System.CommandLine;
using NeuronQuant.Display;
using NeuronQuant.Evaluation;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq train</c>: make the demo model again, from its seed, on problems generated on the way.</summary>
internal static class TrainCommand
{
    public static Command Create()
    {
        var standard = new DemoRecipe();
        var output = new Option<string>("--out") { Description = "The folder to write.", Required = true };
        var seed = new Option<ulong>("--seed") { Description = "Chooses weights and problems.", DefaultValueFactory = _ => standard.Seed };
        var steps = Sized("--steps", "Updates.", standard.Steps);
        var batch = Sized("--batch", "Problems in a step.", standard.Batch);
        var layers = Sized("--layers", "Decoder layers.", standard.Layers);
        var overwrite = new Option<bool>("--overwrite") { Description = "Replace a checkpoint that is already in the folder." };
        var command = new Command("train", "Train the demo model from nothing; with its own options the same bytes come out on the same machine.")
            { output, seed, steps, batch, layers, overwrite };
        command.SetAction((result, cancellation) => Task.Run(() => Run(
            standard with { Seed = result.GetValue(seed), Steps = result.GetValue(steps), Batch = result.GetValue(batch), Layers = result.GetValue(layers) },
            CheckpointTarget.Free(result.GetRequiredValue(output), result.GetValue(overwrite)), cancellation)));
        return command;
    }

    private static int Run(DemoRecipe recipe, string folder, CancellationToken cancellation)
    {
        using var line = new ProgressLine(Console.Error, Console.IsErrorRedirected) { Subject = "training" };
        var progress = new Progress(recipe.Steps, line.Show, cancellation);
        var model = DemoTraining.Run(recipe, folder,
            step => progress.Advance(1, FormattableString.Invariant($"loss {step.Loss:0.000}, {step.TokensPerSecond:0} tokens/s")), cancellation);
        line.Clear();
        CommandOutput.Say(FormattableString.Invariant($"{folder}: {model.ParameterCount / 1e6:0.00} M parameters, {recipe.Steps} steps; see {DemoTraining.LogName} and {DemoTraining.ManifestName}."));
        return 0;
    }

    private static Option<int> Sized(string name, string description, int standard)
    {
        var option = new Option<int>(name) { Description = description, DefaultValueFactory = _ => standard };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError($"{name}: give a number above zero.");
        });
        return option;
    }
}
