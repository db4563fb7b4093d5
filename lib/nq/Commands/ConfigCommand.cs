using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq neuron config</c>: the NeuronConfig that a folder wants, as the call in Python or as JSON, with what speaks against it. The file of --out
/// is one that <c>nq neuron check</c> and <c>serve-config</c> read. Exit code 1 when the folder cannot be used as it is.
/// </summary>
internal static class ConfigCommand
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static Command Create()
    {
        var folder = new Argument<string>("FOLDER") { Description = "A folder with weights: quantized by this library, by NxD, by another, or not." };
        var model = new Option<string?>("--model")
        {
            Description = "The model that it was made from, where the folder has no config.json: tied heads and biases are then looked at.",
        };
        var output = new Option<string?>("--out") { Description = "A file for the configuration, as nq neuron check reads it." };
        var json = Arguments.Json();
        var command = new Command("config", "Derive the NeuronConfig that a folder wants.") { folder, model, output, json };
        command.SetAction((result, cancellation) => Task.Run(() =>
            Run(result.GetRequiredValue(folder), result.GetValue(model), result.GetValue(output), result.GetValue(json), cancellation)));
        return command;
    }

    private static int Run(string folder, string? model, string? output, bool json, CancellationToken cancellation)
    {
        var derived = FolderConfig.Of(folder, model is null ? null : ModelFolder.Config(model), cancellation);
        bool works = derived.Findings.All(finding => finding.Severity != ConfigSeverity.Error);
        var (config, variables) = (derived.Setup.Config.ToJsonObject(), derived.Setup.Environment);
        if (output is not null)
        {
            var file = new JsonObject
            {
                ["model_class"] = derived.Setup.ModelClass,
                ["environment"] = new JsonObject(variables.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value))),
                ["neuron_config"] = config.DeepClone(),
            };
            File.WriteAllText(output, file.ToJsonString(Indented) + "\n");
        }
        if (json)
        {
            CommandOutput.Json(new
            {
                works,
                derived.Kind,
                derived.Description,
                derived.Setup.ModelClass,
                environment = variables,
                neuron_config = config,
                python = derived.Setup.Config.ToPython(),
                derived.Findings,
                derived.Notes,
            });
            return works ? 0 : 1;
        }
        CommandOutput.Note($"{folder}: {derived.Description}");
        foreach (var (name, value) in variables) CommandOutput.Say($"os.environ[\"{name}\"] = \"{value}\"  # before torch_xla is loaded");
        CommandOutput.Say($"{derived.Setup.ModelClass}, with\n{derived.Setup.Config.ToPython()}");
        if (derived.Findings.Count > 0) CommandOutput.Show(ConfigFinding.ToDataFrame("What speaks against it", derived.Findings));
        foreach (string note in derived.Notes) CommandOutput.Note(note);
        return works ? 0 : 1;
    }
}
