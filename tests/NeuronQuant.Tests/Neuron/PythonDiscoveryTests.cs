using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>
/// Which Python is found and that it runs, for both hosts: one suite. A process has one Python for its life, so each case starts
/// <c>nq doctor --python</c> in a process of its own, which tries the host and, in process, a second session.
/// </summary>
public abstract class PythonDiscoveryTests(string way)
{
    /// <summary>Whether this host needs the interpreter's shared library.</summary>
    private bool NeedsLibrary => way == PythonProbe.Inside;

    public static TheoryData<string> Layouts => ["venv", "venv of copies", "conda", "conda, found as active", "pyenv", "the image's venv",
        "NEURON_PYTHON"];

    [Theory]
    [MemberData(nameof(Layouts))]
    public async Task An_environment_is_found_and_is_the_one_that_runs(string layout)
    {
        using var python = Layout(out _);
        var (option, variables, origin, prefix) = await Make(python, layout);
        var found = await Ask(option, variables);
        Assert.True(found.Works, found.Detail);
        Assert.Contains($"(from {origin})", found.Detail, StringComparison.Ordinal);
        Assert.StartsWith(python.PathOf(prefix), found.Environment!.Executable, StringComparison.Ordinal);
        Assert.Equal((PythonLayout.Nxdi, "2.28.1"), (found.Environment.Packages["neuronx-distributed-inference"], found.Environment.Sdk));
    }

    [Fact]
    public async Task Debians_own_Python_runs_or_says_which_package_it_lacks()
    {
        const string debian = "/usr/bin/python3";
        Assert.SkipUnless(File.Exists("/etc/debian_version") && File.Exists(debian), "this is no Debian with its own Python");
        var found = await Ask(debian, []);
        if (!found.Works && NeedsLibrary) Assert.Contains("the package libpython3.", found.Detail, StringComparison.Ordinal);
        else Assert.StartsWith(debian, found.Environment!.Executable, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true, "was built without a shared library")]
    [InlineData(false, "is not installed (Debian and Ubuntu: the package libpython3.")]
    public async Task A_missing_library_stops_only_the_host_that_needs_it_and_is_told_from_one_that_was_never_made(bool isStatic, string words)
    {
        using var python = Layout(out _);
        Judge(await Ask(await python.Installation("opt", isStatic, withLibrary: false), []), words);
    }

    [Fact]
    public async Task A_library_for_another_processor_stops_only_the_host_that_needs_it()
    {
        using var python = Layout(out _);
        string program = await python.Installation("opt", isStatic: true, withLibrary: true);
        PythonLayout.MakeForeign(python.PathOf("opt", "lib", $"libpython{python.Version}.so.1.0"));
        Judge(await Ask(program, []), $"libpython{python.Version}.so.1.0 cannot be loaded: it is for arm64, and this process is x64");
    }

    [Fact]
    public async Task A_program_for_another_processor_is_named()
    {
        using var python = Layout(out string interpreter);
        string program = await python.Installation("opt", isStatic: true, withLibrary: true);
        PythonLayout.MakeForeign(program);
        var found = await Ask(program, []);
        Assert.False(found.Works);
        Assert.Contains(NeedsLibrary ? "does not say where its library is" : "cannot be run", found.Detail, StringComparison.Ordinal);
        Assert.True((await Ask(interpreter, [])).Works); // with a program for this processor the same way runs
    }

    [Fact]
    public async Task A_Python_that_is_too_old_is_named_with_its_version()
    {
        using var python = Layout(out _);
        string program = python.PathOf("python3"), shims = python.Shims("/bin/false");
        await File.WriteAllTextAsync(program, """
            #!/bin/sh
            case "$*" in *-I*) echo '["/x/python3", "/x/libpython3.8.so.1.0", "3.8.10", ""]';; *) echo 'neuron_bridge needs Python 3.10 or newer, this is 3.8' >&2; exit 3;; esac
            """);
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(program, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        var found = await Ask(program, []);
        Assert.False(found.Works);
        Assert.Contains("3.8", found.Detail, StringComparison.Ordinal);
        Assert.False((await Ask(null, new() { ["PATH"] = shims })).Works); // a shim of pyenv with no version behind it
    }

    private void Judge(PythonFinding found, string words)
    {
        Assert.Equal(!NeedsLibrary, found.Works);
        if (NeedsLibrary) Assert.Contains(words, found.Detail, StringComparison.Ordinal);
        else Assert.Equal("2.28.1", found.Environment!.Sdk);
    }

    private static PythonLayout Layout(out string interpreter)
    {
        bool linux = OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64;
        Assert.SkipUnless(linux, "the layouts are those of Linux on x64");
        var layout = new PythonLayout(interpreter = PythonForTests.Interpreter());
        if (layout.HasLibrary) return layout;
        layout.Dispose();
        Assert.Skip($"{interpreter} has no shared library to lay out");
        throw new UnreachableException();
    }

    private static async Task<(string? Option, Dictionary<string, string> Variables, string Origin, string Prefix)> Make(PythonLayout python,
        string layout)
    {
        const string image = "aws_neuronx_venv_pytorch_2_9_nxd_inference";
        switch (layout)
        {
            case "venv":
                await python.Venv("venv", copies: false);
                return (python.PathOf("venv"), [], "the option", "venv");
            case "venv of copies":
                return (await python.Venv("venv", copies: true), [], "the option", "venv");
            case "the image's venv":
                return (await python.Venv(image, copies: false), [], "the option", image);
            case "NEURON_PYTHON":
                return (null, new() { ["NEURON_PYTHON"] = await python.Venv("venv", copies: false), ["CONDA_PREFIX"] = "/absent" },
                    "NEURON_PYTHON", "venv");
            case "conda":
                await python.Installation("conda", isStatic: true, withLibrary: true);
                return (python.PathOf("conda"), [], "the option", "conda");
            case "conda, found as active":
                await python.Installation("conda", isStatic: true, withLibrary: true);
                return (null, new() { ["CONDA_PREFIX"] = python.PathOf("conda") }, "CONDA_PREFIX", "conda");
            default:
                string shims = python.Shims(await python.Installation(Path.Combine("versions", python.Version), isStatic: false, withLibrary: true));
                return (null, new() { ["PATH"] = $"{shims}:/usr/bin:/bin" }, "PATH", "versions");
        }
    }

    // nq beside the tests, with only the variables that the case gives.
    private async Task<PythonFinding> Ask(string? python, Dictionary<string, string> variables)
    {
        var start = Repository.Start(Path.Combine(AppContext.BaseDirectory, "nq"), "doctor", "--json", "--python", python ?? "auto");
        foreach (string name in new[] { "NEURON_PYTHON", "CONDA_PREFIX", "VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH" }) start.Environment.Remove(name);
        foreach (var (name, value) in variables) start.Environment[name] = value;
        using var process = Process.Start(start)!;
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True((await output).StartsWith('{'), $"exit code {process.ExitCode}\n{await output}\n{await errors}");
        var report = JsonNode.Parse(await output)!;
        var found = report["python"]!.AsArray().Single(one => (string)one!["way"]! == way)!;
        var environment = found["environment"];
        return new PythonFinding(way, (bool)found["works"]!, (string)found["detail"]!, environment is null ? null : new NeuronEnvironment(
            (string)environment["python"]!, (string)environment["executable"]!, (string?)environment["sdk"], (bool)environment["has_nxdi"]!,
            environment["packages"]!.AsObject().ToDictionary(one => one.Key, one => (string?)one.Value), []));
    }
}

/// <summary>As a job starts it.</summary>
public sealed class ChildProcessDiscoveryTests() : PythonDiscoveryTests(PythonProbe.Child);

/// <summary>As a notebook starts it.</summary>
public sealed class InProcessDiscoveryTests() : PythonDiscoveryTests(PythonProbe.Inside);
