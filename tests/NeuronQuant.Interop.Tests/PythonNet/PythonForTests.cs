using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>The Python of this process, with the fake NxD Inference of tests/python; without one the tests are skipped and say why.</summary>
internal static class PythonForTests
{
    public static string Fake => Repository.PathOf("tests", "python", "fake");

    /// <summary>A host as <see cref="PythonHosts"/> opens it: the adapter was found beside the library and registered itself.</summary>
    public static async Task<IPythonHost> Host(string trouble = "", string? first = null)
    {
        var python = await PythonHosts.Open(Options(trouble, first), TestContext.Current.CancellationToken);
        if (python.InProcess) return python.Host;
        await python.Host.DisposeAsync();
        Assert.Skip($"Python does not run in this process: {python.Reason}");
        return python.Host;
    }

    public static ChildProcessOptions Options(string trouble = "", string? first = null) => new(
        Environment: new Dictionary<string, string> { ["FAKE_NXDI"] = trouble, ["PATH"] = $"{Fake}{Path.PathSeparator}{System.Environment.GetEnvironmentVariable("PATH")}" },
        ModulePath: first is null ? [Fake] : [first, Fake]);
}
