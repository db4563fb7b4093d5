using System.Diagnostics;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Kernel;

/// <summary>The folder from which Jupyter starts the kernel: kernel.json, and the wrapper over ipykernel beside it.</summary>
/// <remarks>
/// The default name, .net-csharp, is the one that the notebooks carry, so that VS Code's Jupyter and JupyterLab choose the kernel by themselves.
/// Another program's kernel of that name is not replaced unless asked. The folder appears whole or not at all.
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
        if (name.Length == 0 || !name.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '-' or '_'))
            throw new UsageException($"--name {name}: Jupyter allows letters, digits, '.', '-' and '_'.");
        CheckPython(python);
        string folder = Path.Combine(kernels, name);
        if (!overwrite && Directory.Exists(folder) && !IsOurs(folder))
            throw new UsageException($"{folder} is the kernel of another program. Add --overwrite to replace it, or --name for a name of its own.");
        string fresh = $"{folder}.{Environment.ProcessId}.new";
        Directory.CreateDirectory(fresh);
        using (var wrapper = typeof(KernelSpec).Assembly.GetManifestResourceStream(Wrapper)!)
        using (var file = File.Create(Path.Combine(fresh, Wrapper))) wrapper.CopyTo(file);
        File.WriteAllText(Path.Combine(fresh, "kernel.json"), Content(folder, python).ToJsonString(Writing) + "\n");
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

    private static JsonObject Content(string folder, PythonInterpreter python) => new()
    {
        ["argv"] = new JsonArray(python.Path, Path.Combine(folder, Wrapper), "-f", "{connection_file}"),
        ["display_name"] = ".NET (C#)",
        ["language"] = "C#",
        ["interrupt_mode"] = "signal",
        ["env"] = new JsonObject { ["NQ_KERNEL_ENGINE"] = JsonSerializer.Serialize(Engine(), Compact) },
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

    private static void CheckPython(PythonInterpreter python)
    {
        using var process = Process.Start(new ProcessStartInfo(python.Path, ["-c", "import ipykernel.kernelbase"]) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new UsageException($"{python.Path} ({python.Origin}) lacks ipykernel: {error.Trim().Split('\n')[^1]}. Install it there (Debian: python3-ipykernel), or name another Python with --python.");
    }
}
