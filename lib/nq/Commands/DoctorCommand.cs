using System.CommandLine;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using NeuronQuant.Display;
using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>One line of the doctor's report.</summary>
internal sealed record Diagnosis(string Item, string State, string Remedy);

/// <summary><c>nq doctor</c>: what this machine has for the workbook, and how to get what it lacks. Nothing optional is a failure.</summary>
internal static class DoctorCommand
{
    public static Command Create()
    {
        var json = Arguments.Json();
        var python = new Option<string?>("--python")
        {
            Description = "Start the bridge in this interpreter or environment (auto: look for one), as a child process and in this process.",
        };
        var command = new Command("doctor", "Say what this machine has for the workbook, and how to get what it lacks.") { python, json };
        command.SetAction((result, cancellation) => Run(result.GetValue(python), result.GetValue(json), cancellation));
        return command;
    }

    private static async Task<int> Run(string? python, bool json, CancellationToken cancellation)
    {
        var status = Workbook.Start();
        var lines = Examine().ToList();
        if (python == DeviceOptions.None) throw new UsageException("--python none starts nothing: name an interpreter, or auto.");
        var found = python is null ? [] : await PythonProbe.Run(new DeviceOptions(python, "").ToChildProcess(), cancellation);
        lines.AddRange(found.Select(way => new Diagnosis($"Python, {way.Way}", way.Works ? Packages(way.Environment!) : "does not run", way.Detail)));
        int code = python is null || found.Any(way => way.Works) ? 0 : 1;
        if (json)
        {
            CommandOutput.Json(new { version = status.Version, items = lines, packages = status.Packages, status.Advice, python = found });
            return code;
        }
        var table = new FrameRows($"NeuronQuant {status.Version}", "item", "state", "what it means, or how to get it");
        foreach (var line in lines) table.Row(line.Item, line.State, line.Remedy);
        CommandOutput.Show(table);
        CommandOutput.Say($"{status}");
        return code;
    }

    private static IEnumerable<Diagnosis> Examine()
    {
        yield return new Diagnosis(".NET", RuntimeInformation.FrameworkDescription, "the library needs .NET 10");
        int bits = Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : Vector128.IsHardwareAccelerated ? 128 : 0;
        yield return new Diagnosis("vectors", $"{bits} bit", bits >= 256 ? "kernels run at full width" : "kernels run, slower");
        yield return new Diagnosis("processors", $"{Environment.ProcessorCount}", RuntimeInformation.ProcessArchitecture.ToString());
        yield return new Diagnosis("memory", FormattableString.Invariant($"{GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1 << 30):0.0} GiB"), "checkpoints stream: a model need not fit");
        yield return Python();
        bool device = Directory.Exists("/dev") && Directory.EnumerateFileSystemEntries("/dev", "neuron*").Any();
        yield return new Diagnosis("Neuron device", device ? "present" : "absent", device ? "this host can compile and run" : "quantizing, writing and auditing need none; running needs an Inf2 host");
    }

    private static string Packages(NeuronEnvironment environment) => environment.HasNxdi
        ? $"NxD Inference of SDK {environment.Sdk ?? "unknown"}, {environment.Devices.Count} Neuron devices" : $"Python {environment.Python} without NxD Inference";

    private static Diagnosis Python()
    {
        try
        {
            var interpreter = PythonInterpreter.Find();
            return new Diagnosis("Python", interpreter.Path, $"from {interpreter.Origin}; only a run on Neuron needs it, with the packages of environment.yml");
        }
        catch (NeuronRunException error)
        {
            return new Diagnosis("Python", "absent", $"only a run on Neuron needs it. {error.Remedy}");
        }
    }
}
