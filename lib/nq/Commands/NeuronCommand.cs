using System.CommandLine;
using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq neuron</c>: what concerns a run on Neuron. <c>check</c> reads a configuration and says what is wrong with it; exit code 1 on an error.</summary>
internal static class NeuronCommand
{
    public static Command Create() => new("neuron", "Prepare a run on AWS Neuron.") { Check() };

    private static Command Check()
    {
        var file = new Argument<string>("CONFIG") { Description = "A JSON file with the options of NeuronConfig; see data/neuron." };
        var model = new Option<string?>("--model") { Description = "The model: a folder with config.json; with its weights, the quantized folder is audited as well." };
        var sdk = new Option<string?>("--sdk") { Description = "The release of the Neuron SDK to judge by; 2.28.1 unless the file says another." };
        var json = Arguments.Json();
        var command = new Command("check", "Check a NeuronConfig against everything that is known to go wrong.") { file, model, sdk, json };
        command.SetAction((result, cancellation) => Task.FromResult(Run(
            result.GetRequiredValue(file), result.GetValue(model), result.GetValue(sdk), result.GetValue(json), cancellation)));
        return command;
    }

    private static int Run(string file, string? modelPath, string? sdk, bool json, CancellationToken cancellation)
    {
        var setup = NeuronSetup.Read(file, sdk is null ? null : NeuronSdk.Parse(sdk));
        var model = modelPath is null ? null : ModelFolder.Config(modelPath);
        using var source = modelPath is null ? null : ModelFolder.Weights(modelPath);
        var report = NeuronConfigCheck.Run(setup, model, source, cancellation);
        if (json)
        {
            CommandOutput.Json(new { report.Passed, sdk = $"{setup.Sdk}", setup.ModelClass, setup.Instance, report.Findings, report.Notes, neuron_config = setup.Config.ToJsonObject() });
            return report.Passed ? 0 : 1;
        }
        if (report.Findings.Count > 0) CommandOutput.Show(report.ToTable());
        foreach (string note in report.Notes) CommandOutput.Note(note);
        CommandOutput.Say($"{report}");
        return report.Passed ? 0 : 1;
    }
}
