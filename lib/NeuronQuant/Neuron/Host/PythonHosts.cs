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
    /// <summary>"Python in a child process: another session uses the Python of this process."</summary>
    public override string ToString() => $"Python {(InProcess ? "in process" : "in a child process")}: {Reason}.";
}

/// <summary>Opens the Python that fits: in process for a reader's notebook, where its library can be loaded; a child process for a job.</summary>
/// <remarks>
/// In process, a call costs no pipe and tensors could be shared, but a crash of native code ends the notebook, one Python serves the whole
/// life of the process, packages that were loaded stay loaded, and what the compiler writes to descriptor 1 goes to the program's own output.
/// A job, which nobody watches, takes the child, since it can be ended at any time and its silence is noticed.
/// </remarks>
public static class PythonHosts
{
    /// <summary>Opens Python.</summary>
    /// <param name="options">interpreter, variables, folders; the two times are for a child process only</param>
    /// <param name="cancellation">ends the start</param>
    /// <exception cref="NeuronRunException">there is no interpreter, or it cannot run the bridge</exception>
    public static async Task<OpenedPython> Open(ChildProcessOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= new ChildProcessOptions();
        if (Workbook.IsHeadless) return new OpenedPython(await ChildProcessHost.Start(options, cancellation).ConfigureAwait(false), false,
            "this is a job");
        var attempt = await InProcessPythonHost.TryStart(options, cancellation).ConfigureAwait(false);
        if (attempt.Host is { } host) return new OpenedPython(host, true, "its library can be loaded");
        return new OpenedPython(await ChildProcessHost.Start(options, cancellation).ConfigureAwait(false), false, attempt.Reason);
    }
}
