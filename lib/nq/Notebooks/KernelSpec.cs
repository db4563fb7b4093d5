using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>The folder from which Jupyter and VS Code start .NET Interactive: kernel.json, written so that it is safe and can be interrupted.</summary>
/// <remarks>
/// <para>The kernel is the tool that .config/dotnet-tools.json pins; <c>dotnet tool restore</c> brings it. Its own installer leaves two things to wish
/// for: without --http-local-only it listens on every address of the machine, and without an interrupt mode Jupyter cannot interrupt it (the
/// library makes SIGINT end a long call, see <see cref="NeuronQuant.Display.KernelInterrupt"/>).</para>
/// <para>The name, .net-csharp, is the one that the notebooks carry. Another program's kernel of that name is not replaced unless asked. The
/// folder appears whole or not at all. The folders of Windows and macOS are Jupyter's documented ones; only Linux was tried.</para>
/// </remarks>
internal static class KernelSpec
{
    /// <summary>The name that every notebook here asks for.</summary>
    public const string StandardName = ".net-csharp";

    /// <summary>The release of the tool; a test holds it to .config/dotnet-tools.json.</summary>
    public const string ToolVersion = "1.0.712001";

    private const string Owner = "neuronquant", Program = "Microsoft.DotNet.Interactive.App.dll";

    private static readonly JsonSerializerOptions Writing = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes the folder.</summary>
    /// <param name="kernels">the folder of all kernels</param>
    /// <param name="name">the kernel's name</param>
    /// <param name="overwrite">replace a kernel that is not ours</param>
    /// <param name="packages">where the tool was restored to; null for <see cref="PackageFolder"/></param>
    /// <returns>the folder</returns>
    /// <exception cref="UsageException">the name is taken or is no name, or the tool was not restored</exception>
    public static string Install(string kernels, string name, bool overwrite, string? packages = null)
    {
        // Two dots alone would be the folder above, and --overwrite would take it away.
        if (!name.Any(char.IsAsciiLetterOrDigit) || !name.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '-' or '_'))
            throw new UsageException($"--name {name}: Jupyter allows letters, digits, '.', '-' and '_', and there must be a letter or a digit.");
        string tool = Tool(packages ?? PackageFolder());
        string folder = Path.Combine(kernels, name);
        if (!overwrite && Directory.Exists(folder) && !IsOurs(folder))
            throw new UsageException($"{folder} is the kernel of another program. Add --overwrite to replace it, or --name for a name of its own.");
        string fresh = $"{folder}.{Environment.ProcessId}.new";
        Directory.CreateDirectory(fresh);
        File.WriteAllText(Path.Combine(fresh, "kernel.json"), Content(tool).ToJsonString(Writing) + "\n");
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

    /// <summary>The tool's program in a package folder.</summary>
    /// <exception cref="UsageException">it is not there</exception>
    internal static string Tool(string packages)
    {
        string folder = Path.Combine(packages, "microsoft.dotnet-interactive", ToolVersion, "tools");
        return Directory.Exists(folder) && Directory.EnumerateFiles(folder, Program, SearchOption.AllDirectories).Order(StringComparer.Ordinal).LastOrDefault() is { } found ? found
            : throw new UsageException($".NET Interactive {ToolVersion} is not in {packages}. Bring it with: dotnet tool restore");
    }

    /// <summary>NuGet's: NUGET_PACKAGES, else .nuget/packages of the user.</summary>
    internal static string PackageFolder() => Environment.GetEnvironmentVariable("NUGET_PACKAGES") is { Length: > 0 } folder ? folder
        : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");

    private static JsonObject Content(string tool) => new()
    {
        ["argv"] = new JsonArray(DotNet(), tool, "jupyter", "--http-local-only", "--default-kernel", "csharp", "{connection_file}"),
        ["display_name"] = ".NET (C#)",
        ["language"] = "C#",
        ["interrupt_mode"] = "signal",
        ["env"] = new JsonObject { ["DOTNET_CLI_TELEMETRY_OPTOUT"] = "1", ["DOTNET_INTERACTIVE_CLI_TELEMETRY_OPTOUT"] = "1" },
        ["metadata"] = new JsonObject { [Owner] = true },
    };

    // A front end that was not started from a shell has no PATH with a user's own .NET. The runtime lies three folders below.
    private static string DotNet()
    {
        string root = Path.GetFullPath(Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));
        string program = Path.Combine(root, OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet");
        return File.Exists(program) ? program : "dotnet";
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
}
