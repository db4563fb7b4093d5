using System.Diagnostics;
using NeuronQuant.CommandLine;
using NeuronQuant.CommandLine.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>A Python with Jupyter's client, and the kernel installed for it below a temporary prefix; without such a Python the tests are skipped.</summary>
/// <remarks>Every folder that Jupyter and IPython write to is the temporary one, so that nothing of the user's is read or changed.</remarks>
public sealed class JupyterForTests : IDisposable
{
    private const string Needed = "import nbclient, nbformat";
    private static readonly Lazy<string?> Found = new(() => new[] { "python3", "python", "/usr/bin/python3" }.FirstOrDefault(program => Succeeds(program, "-c", Needed)));

    /// <summary>The package folder as it is before a test sets another.</summary>
    public static string Packages { get; set; } = "";

    /// <summary>The Python.</summary>
    public static string Python
    {
        get
        {
            Assert.SkipUnless(Found.Value is not null, "no Python with nbclient and nbformat: install python3-nbclient (Debian) to test the Jupyter kernel");
            return Found.Value!;
        }
    }

    /// <summary>A temporary folder, taken away at the end.</summary>
    public string Folder { get; } = Directory.CreateTempSubdirectory("jupyter-").FullName;

    /// <summary>Installs the kernel under its standard name or another.</summary>
    public string Install(string name = KernelSpec.StandardName)
    {
        try
        {
            return KernelSpec.Install(KernelSpec.Kernels(Folder), name, overwrite: true, Packages);
        }
        catch (UsageException error)
        {
            Assert.Skip($"the tool of .NET Interactive is not here: {error.Message}");
            throw;
        }
    }

    /// <summary>How to start a program of Jupyter's with everything in the temporary folder.</summary>
    public ProcessStartInfo Start(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Folder };
        foreach (string name in new[] { "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR" })
            start.Environment[name] = Path.Combine(Folder, name.ToLowerInvariant());
        start.Environment["JUPYTER_PATH"] = Path.Combine(Folder, "share", "jupyter");
        return start;
    }

    /// <summary>Runs a script of tests/python and returns what it printed; fails with what it said when it fails.</summary>
    public async Task<string> Script(string name, TimeSpan limit, params string[] arguments)
    {
        using var process = Process.Start(Start(Python, [Repository.PathOf("tests", "python", name), .. arguments]))!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(limit);
        try
        {
            await process.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"{name} did not end within {limit}: {await error}");
        }
        Assert.True(process.ExitCode == 0, $"{name}: {await error}");
        return await output;
    }

    /// <summary>Waits until no engine runs that a kernel of this folder has started, known to a test or not; fails when one stays.</summary>
    public async Task NoEngineIsLeft()
    {
        for (int i = 0; i < 100 && Engines().Length > 0; i++) await Task.Delay(100, TestContext.Current.CancellationToken);
        Assert.Empty(Engines()); // ten seconds after their kernel
    }

    /// <summary>The engines that kernels of this folder have started and that still run, as folders of /proc.</summary>
    public string[] Engines()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "processes are looked up in /proc");
        return [.. Directory.EnumerateDirectories("/proc").Where(IsEngine)];
    }

    // The environment carries this folder's name from Jupyter to the engine. A process that ended and was not yet collected has neither text.
    private bool IsEngine(string process)
    {
        try
        {
            return char.IsAsciiDigit(Path.GetFileName(process)[0]) && File.ReadAllText(Path.Combine(process, "cmdline")).Contains("Microsoft.DotNet.Interactive.App", StringComparison.Ordinal)
                && File.ReadAllText(Path.Combine(process, "environ")).Contains(Folder, StringComparison.Ordinal);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false; // It ended meanwhile, or is another user's.
        }
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);

    /// <summary>Whether a program exists and ends with 0.</summary>
    public static bool Succeeds(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(Repository.Start(program, arguments))!;
            if (!process.WaitForExit(TimeSpan.FromSeconds(60))) process.Kill(entireProcessTree: true);
            return process.HasExited && process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}
