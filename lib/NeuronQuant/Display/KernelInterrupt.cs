using System.Runtime.InteropServices;
using Microsoft.DotNet.Interactive;

namespace NeuronQuant.Display;

/// <summary>Makes Jupyter's interrupt end a long call of the library, and nothing else, where .NET Interactive is the kernel.</summary>
/// <remarks>
/// <para>Jupyter sends SIGINT, on which that host ends the whole process. Handlers run newest first, and the host's does not run while an earlier
/// one has not returned: this one cancels the library's calls and then never returns. Each interrupt costs a parked thread.</para>
/// <para>The cell ends with an OperationCanceledException, variables stay, and the next call gets a fresh token. A loop of the reader's own that
/// calls nothing of the library cannot be ended from outside: the kernel has to be restarted.</para>
/// </remarks>
internal static class KernelInterrupt
{
    private static readonly Lock Gate = new();
    private static CancellationTokenSource _source = new();
    private static PosixSignalRegistration? _registration;

    /// <summary>The token of the calls that the running cell makes: also ended by the host's own stop button (VS Code's Polyglot).</summary>
    public static CancellationToken Token
    {
        get
        {
            lock (Gate)
                return KernelInvocationContext.Current is { } cell ? CancellationTokenSource.CreateLinkedTokenSource(_source.Token, cell.CancellationToken).Token : _source.Token;
        }
    }

    /// <summary>Takes over from the host, if a cell is running; a second call does nothing.</summary>
    public static void Register()
    {
        if (KernelInvocationContext.Current is null) return;
        lock (Gate) _registration ??= PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
    }

    private static void Interrupt(PosixSignalContext context)
    {
        context.Cancel = true;
        CancellationTokenSource ended;
        lock (Gate) (ended, _source) = (_source, new CancellationTokenSource());
        ended.Cancel();
        Thread.Sleep(Timeout.Infinite);
    }
}
