using System.CommandLine;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq neuron conformance</c>: this library beside NxD Inference itself. On a host the whole way of a small model; with <c>--bytes-only</c>
/// the codes alone, in any Python that has NxD's functions. Exit code 1 when something differs or a step fails.
/// </summary>
internal static class ConformanceCommand
{
    public static Command Create()
    {
        var model = new Argument<string>("MODEL") { Description = "A small model that the engine can run, such as data/demo-model." };
        var output = new Option<string>("--out") { Description = "A folder for the quantized copy and the compiled graph.", Required = true };
        var python = new Option<string>("--python")
        {
            Description = "The interpreter or environment with NxD Inference; looked for unless given.",
            DefaultValueFactory = _ => DeviceOptions.Auto,
        };
        var tp = new Option<int>("--tp") { Description = "tp_degree: NeuronCores that share the model.", DefaultValueFactory = _ => 2 };
        var bytes = new Option<bool>("--bytes-only")
        {
            Description = "Compare the bytes alone: any Python with torch and neuronx_distributed will do, and no device is needed.",
        };
        var cpu = new Option<bool>("--cpu")
        {
            Description = "Let the release's own modules answer on this CPU, float and quantized, in float32: needs NxD Inference, and no device.",
        };
        var format = Arguments.Choice("--format", "Formats that --bytes-only compares", "all", "all", "int8", "f8e4m3", "f8e5m2");
        var standIn = new Option<string?>("--stand-in") { Description = "A folder that stands in for NxD Inference, for tests.", Hidden = true };
        var json = Arguments.Json();
        const string does = "Compare our codes with NxD's own on a small model, then compile, load and ask it.";
        var command = new Command("conformance", does) { model, output, python, tp, bytes, cpu, format, standIn, json };
        command.SetAction((result, cancellation) =>
        {
            string folder = result.GetRequiredValue(output), formats = result.GetRequiredValue(format);
            var options = new DeviceOptions(result.GetRequiredValue(python), Path.Combine(folder, "graphs"), result.GetValue(standIn) ?? "");
            if (options.Python == DeviceOptions.None) throw new UsageException("--python none runs nothing: name an interpreter, or leave the option out.");
            if (result.GetValue(json) is var machine && !machine) options = options with { Log = line => Terminal.WriteNote(line) };
            string source = HubCache.Resolve(result.GetRequiredValue(model));
            if (result.GetValue(cpu) && result.GetValue(bytes)) throw new UsageException("--cpu and --bytes-only are two ways: give one of them.");
            if (result.GetValue(cpu)) return Task.Run(() => ConformOnCpu(source, folder, options, machine, cancellation));
            return Task.Run(() => result.GetValue(bytes)
                ? ConformBytes(source, folder, options, formats == "all" ? BytesConformance.Formats : [FormatNames.Parse(formats)], machine, cancellation)
                : Conform(source, folder, options, result.GetValue(tp), machine, cancellation));
        });
        return command;
    }

    private static async Task<int> Conform(string model, string output, DeviceOptions options, int tp, bool json, CancellationToken cancellation)
    {
        var report = (await ToyConformance.Run(model, Path.Combine(output, "quantized"), options, tp, cancellation)).Result!;
        if (json) CommandOutput.Json(new { report.Passed, stand_in = report.StandIn, report.Bytes, report.Logits, report.Prompt, report.OnDevice, report.InEngine });
        else CommandOutput.Show(report.ToDataFrame());
        return report.Passed ? 0 : 1;
    }

    private static async Task<int> ConformBytes(
        string model, string output, DeviceOptions options, IReadOnlyList<Format> formats, bool json, CancellationToken cancellation)
    {
        var report = await BytesConformance.Run(model, Path.Combine(output, "quantized"), options.ToChildProcess(), formats, log: options.Log, cancellation: cancellation);
        if (json) CommandOutput.Json(new { passed = report.Equal, report.Formats, BytesReport.Meaning });
        else CommandOutput.Show(report.ToDataFrame());
        if (!json) CommandOutput.Note(BytesReport.Meaning);
        return report.Equal ? 0 : 1;
    }

    private static async Task<int> ConformOnCpu(string model, string output, DeviceOptions options, bool json, CancellationToken cancellation)
    {
        var report = await CpuConformance.Run(model, output, options.ToChildProcess(), log: options.Log, cancellation: cancellation);
        if (json)
            CommandOutput.Json(new { report.Passed, report.Float, report.Quantized, report.QuantizedModules, report.PlannedModules, CpuReport.Meaning });
        else CommandOutput.Show(report.ToDataFrame());
        if (!json) CommandOutput.Note(CpuReport.Meaning);
        return report.Passed ? 0 : 1;
    }
}
