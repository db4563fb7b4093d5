using System.Diagnostics;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>A Python of 3.10 or newer on the PATH, with the fake NxD Inference of tests/python; without one the tests are skipped and say so.</summary>
internal static class PythonForTests
{
    private static readonly Lazy<string?> Found = new(() => new[] { "python3", "python" }.FirstOrDefault(IsNewEnough));

    public static string Fake => Repository.PathOf("tests", "python", "fake");

    public static string Interpreter()
    {
        Assert.SkipUnless(Found.Value is not null, "no Python of 3.10 or newer on the PATH: the bridge was not run");
        return Found.Value!;
    }

    public static Task<ChildProcessHost> Host(string trouble = "", TimeSpan? silence = null) => ChildProcessHost.Start(new ChildProcessOptions(
        Interpreter(), new Dictionary<string, string> { ["FAKE_NXDI"] = trouble }, ModulePath: [Fake], Silence: silence));

    public static async Task<(int Code, string Output)> Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Repository.Root })!;
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
