using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Kernel;

/// <summary>The folder from which Jupyter starts the kernel: kernel.json, and the wrapper over ipykernel beside it.</summary>
/// <remarks>
/// The default name, .net-csharp, is the one that the notebooks carry, so that VS Code's Jupyter and JupyterLab choose the kernel by themselves.
/// Another program's kernel of that name is not replaced unless asked. The folder appears whole or not at all. The folders of Windows and macOS
/// are Jupyter's documented ones; only Linux was tried.
/// </remarks>
internal static class KernelSpec
{
    /// <summary>The name that every notebook here asks for.</summary>
    public const string StandardName = ".net-csharp";

    private static readonly JsonSerializerOptions Writing = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly JsonSerializerOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private const string Wrapper = "nq_kernel.py", Owner = "neuronquant";

    /// <summary>Writes the folder.</summary>
    /// <param name="kernels">the folder of all kernels</param>
    /// <param name="name">the kernel's name</param>
    /// <param name="python">has ipykernel</param>
    /// <param name="overwrite">replace a kernel that is not ours</param>
    /// <returns>the folder</returns>
    /// <exception cref="UsageException">the name is taken or is no name, or Python lacks ipykernel</exception>
    public static string Install(string kernels, string name, PythonInterpreter python, bool overwrite)
    {
        // Two dots alone would be the folder above, and --overwrite would take it away.
        if (!name.Any(char.IsAsciiLetterOrDigit) || !name.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '-' or '_'))
            throw new UsageException($"--name {name}: Jupyter allows letters, digits, '.', '-' and '_', and there must be a letter or a digit.");
        string interpreter = CheckPython(python);
        string folder = Path.Combine(kernels, name);
        if (!overwrite && Directory.Exists(folder) && !IsOurs(folder))
            throw new UsageException($"{folder} is the kernel of another program. Add --overwrite to replace it, or --name for a name of its own.");
        string fresh = $"{folder}.{Environment.ProcessId}.new";
        Directory.CreateDirectory(fresh);
        using (var wrapper = typeof(KernelSpec).Assembly.GetManifestResourceStream(Wrapper)!)
        using (var file = File.Create(Path.Combine(fresh, Wrapper))) wrapper.CopyTo(file);
        File.WriteAllText(Path.Combine(fresh, "kernel.json"), Content(folder, interpreter).ToJsonString(Writing) + "\n");
        if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
        Directory.Move(fresh, folder);
        return folder;
    }

    /// <summary>Where Jupyter looks: below a prefix, or in the user's own data folder.</summary>
    public static string Kernels(string? prefix)
    {
        if (prefix is not null) return Path.Combine(Path.GetFullPath(prefix), "share", "jupyter", "kernels");
        if (Environment.GetEnvironmentVariable("JUPYTER_DATA_DIR") is { Length: > 0 } data) return Path.Combine(data, "kernels");
        string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        string own = OperatingSystem.IsWindows() ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.ApplicationData), "jupyter")
            : OperatingSystem.IsMacOS() ? Path.Combine(home, "Library", "Jupyter") : Path.Combine(home, ".local", "share", "jupyter");
        return Path.Combine(own, "kernels");
    }

    private static JsonObject Content(string folder, string interpreter) => new()
    {
        ["argv"] = new JsonArray(interpreter, Path.Combine(folder, Wrapper), "-f", "{connection_file}"),
        ["display_name"] = ".NET (C#)",
        ["language"] = "C#",
        ["interrupt_mode"] = "signal",
        // A host that was not started from a shell finds the engine's .NET nowhere else, if it is a user's own.
        ["env"] = new JsonObject { ["NQ_KERNEL_ENGINE"] = JsonSerializer.Serialize(Engine(), Compact), ["DOTNET_ROOT"] = DotNetRoot() },
        ["metadata"] = new JsonObject { [Owner] = true },
    };

    // This program, however it was started.
    private static IEnumerable<string> Engine()
    {
        string program = Environment.ProcessPath!, assembly = typeof(KernelSpec).Assembly.Location;
        string host = Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "nq.exe" : "nq");
        return Path.GetFileNameWithoutExtension(program) == "nq" ? [program, "kernel", "serve"]
            : File.Exists(host) ? [host, "kernel", "serve"] : ["dotnet", assembly, "kernel", "serve"];
    }

    // The runtime lies three folders below: shared/Microsoft.NETCore.App/10.x.y.
    private static string DotNetRoot() => Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));

    private static bool IsOurs(string folder)
    {
        string file = Path.Combine(folder, "kernel.json");
        try
        {
            return File.Exists(file) && JsonNode.Parse(File.ReadAllText(file))?["metadata"]?[Owner] is not null;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    // The path that Python itself gives: of a virtual environment the link in it, and of a launcher or a shim what stands behind.
    private static string CheckPython(PythonInterpreter python)
    {
        using var process = Process.Start(new ProcessStartInfo(python.Path, ["-c", "import sys, ipykernel.kernelbase; print(sys.executable)"])
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        })!;
        var error = process.StandardError.ReadToEndAsync();
        string interpreter = process.StandardOutput.ReadToEnd().Trim();
        process.WaitForExit();
        return process.ExitCode == 0 ? interpreter : throw new UsageException($"{python.Path} ({python.Origin}) lacks ipykernel: "
            + $"{error.Result.Trim().Split('\n')[^1]}. Install it there (Debian: python3-ipykernel), or name another Python with --python.");
    }
}
