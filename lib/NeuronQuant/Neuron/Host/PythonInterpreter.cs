namespace NeuronQuant.Neuron;

/// <summary>Which Python to run, and why that one: the option, else NEURON_PYTHON, else the active conda environment, else the PATH.</summary>
/// <param name="Path">the program</param>
/// <param name="Origin">how it was found</param>
public sealed record PythonInterpreter(string Path, string Origin)
{
    private static readonly string[] Names = OperatingSystem.IsWindows() ? ["python.exe"] : ["python3", "python"];

    /// <summary>Finds an interpreter.</summary>
    /// <param name="option">a program or a folder of an environment, as the user gave it; null to look for one</param>
    /// <param name="variable">reads an environment variable; the process's when null</param>
    /// <exception cref="NeuronRunException">there is none where one was named, or none at all</exception>
    public static PythonInterpreter Find(string? option = null, Func<string, string?>? variable = null)
    {
        variable ??= Environment.GetEnvironmentVariable;
        if (option is { Length: > 0 }) return Named(option, "the option", variable);
        if (variable("NEURON_PYTHON") is { Length: > 0 } chosen) return Named(chosen, "NEURON_PYTHON", variable);
        if (variable("CONDA_PREFIX") is { Length: > 0 } conda && In(conda) is { } active) return new PythonInterpreter(active, "CONDA_PREFIX");
        return OnPath(Names, variable) is { } found ? new PythonInterpreter(found, "PATH")
            : throw new NeuronRunException(NeuronFailure.NoPython, "python", "no Python was found in CONDA_PREFIX or on the PATH.",
                "Create the environment of environment.yml and activate it, or set NEURON_PYTHON to an interpreter (3.10 to 3.12).");
    }

    private static PythonInterpreter Named(string name, string origin, Func<string, string?> variable) =>
        (File.Exists(name) ? name : Directory.Exists(name) ? In(name) : name.Contains(System.IO.Path.DirectorySeparatorChar) ? null
            : OnPath([name], variable)) is { } path
            ? new PythonInterpreter(path, origin)
            : throw new NeuronRunException(NeuronFailure.NoPython, "python",
            $"'{name}', which {origin} names, is no Python interpreter and no environment with one.",
            "Give the path of the program, such as .../bin/python.");

    private static string? In(string environment) =>
        Names.SelectMany(name => new[] { System.IO.Path.Combine(environment, "bin", name), System.IO.Path.Combine(environment, name) })
            .FirstOrDefault(File.Exists);

    private static string? OnPath(string[] names, Func<string, string?> variable) => (variable("PATH") ?? "").Split(System.IO.Path.PathSeparator)
        .Where(folder => folder.Length > 0).SelectMany(folder => names.Select(name => System.IO.Path.Combine(folder, name)))
        .FirstOrDefault(File.Exists);
}
