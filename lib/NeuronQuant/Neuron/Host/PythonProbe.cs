using System.Text.Json.Nodes;

namespace NeuronQuant.Neuron;

/// <summary>What came of one way to run Python.</summary>
/// <param name="Way">"child process" or "in process"</param>
/// <param name="Works">whether the bridge answered</param>
/// <param name="Detail">which Python and how it was found, or why it does not run</param>
/// <param name="Environment">what the Python side found; null when it did not answer</param>
public sealed record PythonFinding(string Way, bool Works, string Detail, NeuronEnvironment? Environment)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Way}: {(Works ? "" : "no, ")}{Detail}";
}

/// <summary>
/// Tries both ways of running Python, and in process twice, since an interpreter starts once in the life of a process and a second session
/// must find it as it was. A way that does not work is a finding with its reason, not an error.
/// </summary>
public static class PythonProbe
{
    /// <summary>The way of a job.</summary>
    public const string Child = "child process";

    /// <summary>The way of a notebook.</summary>
    public const string Inside = "in process";

    /// <summary>Tries them.</summary>
    /// <param name="options">which interpreter, and what it finds first</param>
    /// <param name="cancellation">ends what was started</param>
    public static async Task<IReadOnlyList<PythonFinding>> Run(ChildProcessOptions options, CancellationToken cancellation = default) =>
    [
        await Try(Child, async () => (await ChildProcessHost.Start(options, cancellation).ConfigureAwait(false), ""), cancellation)
            .ConfigureAwait(false),
        await Twice(options, cancellation).ConfigureAwait(false),
    ];

    private static async Task<PythonFinding> Twice(ChildProcessOptions options, CancellationToken cancellation)
    {
        async Task<(IPythonHost?, string)> Open()
        {
            var attempt = await InProcessPythonHost.TryStart(options, cancellation).ConfigureAwait(false);
            return (attempt.Host, attempt.Reason);
        }

        var first = await Try(Inside, Open, cancellation).ConfigureAwait(false);
        if (!first.Works) return first;
        var second = await Try(Inside, Open, cancellation).ConfigureAwait(false);
        return second.Works ? second : second with { Detail = $"a first session ran, a second did not: {second.Detail}" };
    }

    private static async Task<PythonFinding> Try(string way, Func<Task<(IPythonHost? Host, string Reason)>> open, CancellationToken cancellation)
    {
        try
        {
            var (host, reason) = await open().ConfigureAwait(false);
            if (host is null) return new PythonFinding(way, false, reason, null);
            await using (host)
            {
                var answer = await host.Call("environment", new JsonObject(), null, cancellation).ConfigureAwait(false);
                return new PythonFinding(way, true, host.Description, answer.Read<NeuronEnvironment>("environment"));
            }
        }
        catch (NeuronRunException error)
        {
            return new PythonFinding(way, false, error.Message, null);
        }
    }
}
