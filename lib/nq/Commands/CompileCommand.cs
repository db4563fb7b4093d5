using System.CommandLine;
using NeuronQuant.Checkpoints;
using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq neuron compile</c>: the graph of a configuration, for Inferentia2, on a host with a device or without one. Exit code 1 when the
/// configuration is refused, something is missing or the compiler fails.
/// </summary>
internal static class CompileCommand
{
    public static Command Create()
    {
        var file = new Argument<string>("CONFIG") { Description = "A JSON file with the options of NeuronConfig; see data/neuron." };
        var model = new Option<string>("--model") { Description = "The model's folder; its config.json counts, its weights are not read.", Required = true };
        var output = new Option<string>("--out") { Description = "The folder of compiled graphs; one that is there already is found.", Required = true };
        var python = new Option<string>("--python")
        {
            Description = "The interpreter or environment with NxD Inference; looked for unless given.",
            DefaultValueFactory = _ => DeviceOptions.Auto,
        };
        var standIn = new Option<string?>("--stand-in") { Description = "A folder that stands in for NxD Inference, for tests.", Hidden = true };
        var json = Arguments.Json();
        var command = new Command("compile", "Compile a configuration's graph for Inferentia2; no device is needed.") { file, model, output, python, standIn, json };
        command.SetAction((result, cancellation) =>
        {
            var options = new DeviceOptions(result.GetRequiredValue(python), result.GetRequiredValue(output), result.GetValue(standIn) ?? "");
            if (options.Python == DeviceOptions.None) throw new UsageException("--python none runs nothing: name an interpreter, or leave the option out.");
            if (!result.GetValue(json)) options = options with { Log = line => Terminal.WriteNote(line) };
            string folder = HubCache.Resolve(result.GetRequiredValue(model));
            return Task.Run(() => Run(NeuronSetup.Read(result.GetRequiredValue(file)), folder, options, result.GetValue(json), cancellation));
        });
        return command;
    }

    private static async Task<int> Run(NeuronSetup setup, string model, DeviceOptions options, bool json, CancellationToken cancellation)
    {
        _ = ModelFolder.Config(model);
        var graph = await HostCompile.Run(setup, model, options, cancellation);
        if (json) CommandOutput.Json(new { graph.Folder, graph.Reused, graph.Target, graph.HasDevice, stand_in = graph.StandIn, CompiledGraph.Meaning });
        else CommandOutput.Show(graph.ToDataFrame());
        if (!json) CommandOutput.Note(CompiledGraph.Meaning);
        return 0;
    }
}
