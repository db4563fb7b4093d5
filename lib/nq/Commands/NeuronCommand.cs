using System.CommandLine;
using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq neuron</c>: what concerns a run on Neuron. <c>check</c> reads a configuration and says what is wrong with it; <c>config</c> derives
/// one from a folder; <c>serve-config</c> writes the command that serves it through vLLM; <c>conformance</c> is the first thing to run on a host.
/// Exit code 1 on an error.
/// </summary>
internal static class NeuronCommand
{
    public static Command Create() => new("neuron", "Prepare a run on AWS Neuron.") { Check(), ConfigCommand.Create(), ServeConfig(), CompileCommand.Create(), ConformanceCommand.Create() };

    private static Command Check()
    {
        var file = new Argument<string>("CONFIG") { Description = "A JSON file with the options of NeuronConfig; see data/neuron." };
        var model = new Option<string?>("--model") { Description = "The model: a folder with config.json; with its weights, the quantized folder is audited as well." };
        var sdk = new Option<string?>("--sdk") { Description = "The release of the Neuron SDK to judge by; 2.28.1 unless the file says another." };
        var compiled = new Option<string?>("--compiled") { Description = "A compiled folder: its own neuron_config.json is compared with the options." };
        var json = Arguments.Json();
        var command = new Command("check", "Check a NeuronConfig against everything that is known to go wrong.") { file, model, sdk, compiled, json };
        command.SetAction((result, cancellation) => Task.Run(() => Run(
            result.GetRequiredValue(file), result.GetValue(model), result.GetValue(sdk), result.GetValue(compiled), result.GetValue(json), cancellation)));
        return command;
    }

    private static Command ServeConfig()
    {
        var file = new Argument<string>("CONFIG") { Description = "A JSON file with the options of NeuronConfig; see data/neuron." };
        var model = new Option<string>("--model") { Description = "The model's folder, as the server will find it.", Required = true };
        var compiled = new Option<string?>("--compiled") { Description = "A folder compiled through the Python API with the options under compile_with." };
        var port = new Option<int>("--port") { Description = "Where the server listens.", DefaultValueFactory = _ => 8000 };
        var json = Arguments.Json();
        var command = new Command("serve-config", "Write the command that serves the model through vLLM on Neuron.") { file, model, compiled, port, json };
        command.SetAction(result => Serve(new ServingRequest(NeuronSetup.Read(result.GetRequiredValue(file)), result.GetRequiredValue(model),
            result.GetValue(compiled), result.GetValue(port)), result.GetValue(json)));
        return command;
    }

    private static int Serve(ServingRequest request, bool json)
    {
        bool known = File.Exists(Path.Combine(request.ModelPath, "config.json"));
        var serving = VllmServing.Create(request, known ? ModelFolder.Config(request.ModelPath) : null);
        bool works = serving.Findings.All(finding => finding.Severity != ConfigSeverity.Error);
        if (json)
        {
            CommandOutput.Json(new
            {
                works,
                command = serving.ToShell(),
                serving.Environment,
                serving.AdditionalConfig,
                compile_with = serving.CompileWith.ToJsonObject(),
                serving.Findings,
                VllmServing.Limits,
            });
            return works ? 0 : 1;
        }
        CommandOutput.Say(serving.ToShell());
        if (serving.Findings.Count > 0) CommandOutput.Show(ConfigFinding.ToDataFrame("What speaks against it", serving.Findings));
        foreach (string limit in VllmServing.Limits) CommandOutput.Note(limit);
        return works ? 0 : 1;
    }

    private static int Run(string file, string? modelPath, string? sdk, string? compiled, bool json, CancellationToken cancellation)
    {
        var setup = NeuronSetup.Read(file, sdk is null ? null : NeuronSdk.Parse(sdk));
        var model = modelPath is null ? null : ModelFolder.Config(modelPath);
        using var source = modelPath is null ? null : ModelFolder.Weights(modelPath);
        var report = NeuronConfigCheck.Run(setup, model, source, cancellation);
        if (compiled is not null) report = report with { Findings = [.. SavedConfig.Compare(setup.Config, compiled), .. report.Findings] };
        if (json)
        {
            CommandOutput.Json(new { report.Passed, sdk = $"{setup.Sdk}", setup.ModelClass, setup.Instance, report.Findings, report.Notes, neuron_config = setup.Config.ToJsonObject() });
            return report.Passed ? 0 : 1;
        }
        if (report.Findings.Count > 0) CommandOutput.Show(report.ToDataFrame());
        foreach (string note in report.Notes) CommandOutput.Note(note);
        CommandOutput.Say($"{report}");
        return report.Passed ? 0 : 1;
    }
}
