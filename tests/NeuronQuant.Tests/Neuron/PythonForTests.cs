using System.Diagnostics;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>A Python of 3.10 or newer on the PATH, with the fake NxD Inference of tests/python; without one the tests are skipped and say
/// so.</summary>
internal static class PythonForTests
{
    private static readonly Lazy<string?> Found = new(() => new[] { "python3", "python" }.FirstOrDefault(IsNewEnough));

    public static string Fake => Repository.PathOf("tests", "python", "fake");

    private static readonly Lazy<string?> FoundTorch = new(() => new[] { "/usr/bin/python3", "python3" }
        .FirstOrDefault(program => IsNewEnough(program) && Run(program, "-c", "import torch, numpy").GetAwaiter().GetResult().Code == 0));

    /// <summary>NxD's quantization functions restated on torch, for <see cref="InterpreterWithTorch"/>.</summary>
    public static string Restated => Repository.PathOf("tests", "python", "restated");

    /// <summary>A Python with the real torch, such as Debian's python3-torch gives; without one the test is skipped and says so.</summary>
    public static string InterpreterWithTorch()
    {
        Assert.SkipUnless(FoundTorch.Value is not null, "no Python with torch: NxD's formulas were not computed by it");
        return FoundTorch.Value!;
    }

    public static string Interpreter()
    {
        Assert.SkipUnless(Found.Value is not null, "no Python of 3.10 or newer on the PATH: the bridge was not run");
        return Found.Value!;
    }

    /// <summary>A host with the fake; a worker that hangs leaves its process id in the file.</summary>
    public static Task<ChildProcessHost> Host(string trouble = "", TimeSpan? silence = null, string worker = "", string? first = null) =>
        ChildProcessHost.Start(new ChildProcessOptions(
        Interpreter(), new Dictionary<string, string>
        {
            ["FAKE_NXDI"] = trouble,
            ["FAKE_NXDI_WORKER"] = worker,
            ["PATH"] = $"{Fake}{Path.PathSeparator}{Environment.GetEnvironmentVariable("PATH")}"
        },
        ModulePath: first is null ? [Fake] : [first, Fake], Silence: silence));

    /// <summary>Python in this process with the fake; where this Python has no library the test is skipped and says so.</summary>
    public static async Task<IPythonHost> InProcess(string trouble = "", string? first = null)
    {
        for (int turn = 0; ; turn++, await Task.Delay(100, TestContext.Current.CancellationToken))
        {
            var attempt = await InProcessPythonHost.TryStart(Options(trouble, first), TestContext.Current.CancellationToken);
            if (attempt.Host is { } host) return host;
            // Tests of other classes use the Python of this process too.
            if (attempt.Reason == InProcessPythonHost.Busy && turn < 600) continue;
            Assert.Skip($"Python does not run in this process: {attempt.Reason}");
        }
    }

    /// <summary>The fake and its trouble, as options of either host.</summary>
    public static ChildProcessOptions Options(string trouble = "", string? first = null) => new(
        Interpreter(), new Dictionary<string, string>
        {
            ["FAKE_NXDI"] = trouble,
            ["PATH"] = $"{Fake}{Path.PathSeparator}{Environment.GetEnvironmentVariable("PATH")}"
        },
        ModulePath: first is null ? [Fake] : [first, Fake]);

    /// <summary>An interpreter whose fake fails at a step, for what starts Python itself.</summary>
    public static string InterpreterWith(string trouble, string script)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs a shell script");
        File.WriteAllText(script, $"#!/bin/sh\nFAKE_NXDI={trouble} exec {Interpreter()} \"$@\"\n");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return script;
    }

    public static async Task<(int Code, string Output)> Run(string program, params string[] arguments)
    {
        using var process = Process.Start(Repository.Start(program, arguments))!;
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync();
        return (process.ExitCode, await output + await errors);
    }

    private static bool IsNewEnough(string program)
    {
        try
        {
            return Run(program, "-c", "import sys; sys.exit(sys.version_info < (3, 10))").GetAwaiter().GetResult().Code == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}
