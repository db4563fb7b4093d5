namespace NeuronQuant.Neuron;

/// <summary>What came of an attempt to run Python in this process.</summary>
/// <param name="Host">the host; null when this process or this Python does not allow it</param>
/// <param name="Reason">why there is none; which Python library, when there is one</param>
public sealed record InProcessAttempt(IPythonHost? Host, string Reason);

/// <summary>A Python that was opened, and why this kind.</summary>
/// <param name="Host">the host; give it to <see cref="NeuronSession.Start"/>, which owns it then</param>
/// <param name="InProcess">whether Python runs inside this process</param>
/// <param name="Reason">why, without a path</param>
public sealed record OpenedPython(IPythonHost Host, bool InProcess, string Reason)
{
    /// <summary>"Python in a child process: the adapter for pythonnet is absent."</summary>
    public override string ToString() => $"Python {(InProcess ? "in process" : "in a child process")}: {Reason}.";
}

/// <summary>Opens the Python that fits this machine: in process where the adapter for pythonnet is there, else as a child process.</summary>
/// <remarks>
/// In process, a call costs no pipe and tensors could be shared, but a crash of native code ends the notebook, one Python serves the whole
/// life of the process, packages that were loaded stay loaded, and what the compiler writes to descriptor 1 goes to the program's own output.
/// To insist on a child, start <see cref="ChildProcessHost"/> itself.
/// </remarks>
public static class PythonHosts
{
    /// <summary>Set by the adapter for pythonnet: tries to start Python in this process.</summary>
    public static Func<ChildProcessOptions, CancellationToken, Task<InProcessAttempt>>? InProcess { get; set; }

    /// <summary>Opens Python.</summary>
    /// <param name="options">interpreter, variables, folders; the two times are for a child process only</param>
    /// <param name="cancellation">ends the start</param>
    /// <exception cref="NeuronRunException">there is no interpreter, or it cannot run the bridge</exception>
    public static async Task<OpenedPython> Open(ChildProcessOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= new ChildProcessOptions();
        var adapter = Adapters.Of("pythonnet");
        string reason = adapter.Problem is null ? "the adapter for pythonnet is absent" : "the adapter for pythonnet is damaged";
        if (adapter.InUse && InProcess is { } start)
        {
            var attempt = await start(options, cancellation).ConfigureAwait(false);
            if (attempt.Host is { } host) return new OpenedPython(host, true, $"pythonnet {adapter.Version} is there");
            reason = attempt.Reason;
        }
        return new OpenedPython(await ChildProcessHost.Start(options, cancellation).ConfigureAwait(false), false, reason);
    }
}
