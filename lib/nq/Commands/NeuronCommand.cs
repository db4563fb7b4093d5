using System.CommandLine;
using NeuronQuant.Checkpoints;
using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq neuron</c>: what concerns a run on Neuron. <c>check</c> reads a configuration and says what is wrong with it; <c>config</c> derives
/// one from a folder; <c>serve-config</c> writes the command that serves it through vLLM; <c>conformance</c> is the first thing to run on a host.
/// Exit code 1 on an error.
/// </summary>
internal static class NeuronCommand
{
    public static Command Create() => new("neuron", "Prepare a run on AWS Neuron.") { Check(), ConfigCommand.Create(), ServeConfig(), Conformance() };

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

    private static Command Conformance()
    {
        var model = new Argument<string>("MODEL") { Description = "A small model that the engine can run, such as data/demo-model." };
        var output = new Option<string>("--out") { Description = "A folder for the quantized copy and the compiled graph.", Required = true };
        var python = new Option<string>("--python")
        {
            Description = "The interpreter or environment with NxD Inference; looked for unless given.",
            DefaultValueFactory = _ => DeviceOptions.Auto,
        };
        var tp = new Option<int>("--tp") { Description = "tp_degree: NeuronCores that share the model.", DefaultValueFactory = _ => 2 };
        var bytes = new Option<bool>("--bytes-only") { Description = "Compare the bytes alone: any Python with torch and neuronx_distributed will do, and no device is needed." };
        var standIn = new Option<string?>("--stand-in") { Description = "A folder that stands in for NxD Inference, for tests.", Hidden = true };
        var json = Arguments.Json();
        const string does = "Compare our codes with NxD's own on a small model, then compile, load and ask it.";
        var command = new Command("conformance", does) { model, output, python, tp, bytes, standIn, json };
        command.SetAction((result, cancellation) =>
        {
            string folder = result.GetRequiredValue(output);
            var options = new DeviceOptions(result.GetRequiredValue(python), Path.Combine(folder, "graphs"), result.GetValue(standIn) ?? "");
            if (result.GetValue(bytes)) return Task.Run(() => ConformBytes(result.GetRequiredValue(model), folder, options, result.GetValue(json), cancellation));
            return Task.Run(() => Conform(HubCache.Resolve(result.GetRequiredValue(model)), folder, options, result.GetValue(tp), result.GetValue(json), cancellation));
        });
        return command;
    }

    private static async Task<int> Conform(string model, string output, DeviceOptions options, int tp, bool json, CancellationToken cancellation)
    {
        if (options.Python == DeviceOptions.None) throw new UsageException("--python none runs nothing: name an interpreter, or leave the option out.");
        options = options with { Log = json ? null : line => Terminal.WriteNote(line) };
        var report = (await ToyConformance.Run(model, Path.Combine(output, "quantized"), options, tp, cancellation)).Result!;
        if (json) CommandOutput.Json(new { report.Passed, stand_in = report.StandIn, report.Bytes, report.Logits, report.Prompt, report.OnDevice, report.InEngine });
        else CommandOutput.Show(report.ToDataFrame());
        return report.Passed ? 0 : 1;
    }

    private static async Task<int> ConformBytes(string model, string output, DeviceOptions options, bool json, CancellationToken cancellation)
    {
        if (options.Python == DeviceOptions.None) throw new UsageException("--python none runs nothing: name an interpreter, or leave the option out.");
        var report = await BytesConformance.Run(model, Path.Combine(output, "quantized"), options.ToChildProcess(), log: json ? null : line => Terminal.WriteNote(line), cancellation: cancellation);
        if (json) CommandOutput.Json(new { passed = report.Bytes.Equal, report.Bytes, BytesReport.Meaning });
        else CommandOutput.Show(report.ToDataFrame());
        if (!json) CommandOutput.Note(BytesReport.Meaning);
        return report.Bytes.Equal ? 0 : 1;
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
