using System.Diagnostics;
using System.IO.Pipes;
using NeuronQuant.Display;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Runs a notebook in a process of its own, so that no cell can take the book down with it.</summary>
/// <remarks>
/// <para>A cell may call Environment.Exit, overflow the stack, or crash native code; the process then ends, and this one says in which notebook
/// and cell. Memory, native libraries and threads that a cell leaves behind end with it too.</para>
/// <para>Messages come through a pipe of their own, since a cell's native code may write to descriptor 1. Cancelling asks the process to stop
/// its cell; when it does not within <see cref="Grace"/>, it is ended with all that it started.</para>
/// </remarks>
internal static class NotebookProcess
{
    /// <summary>The hidden command that the process runs, with the pipe's handle.</summary>
    public const string CommandName = "run-one";

    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(10);
    private static readonly Lock Starting = new();

    /// <summary>Runs a copy of the notebook.</summary>
    /// <param name="path">the notebook's file</param>
    /// <param name="notebook">its content, left as it is</param>
    /// <param name="values">parameters by name</param>
    /// <param name="timeout">for each cell</param>
    /// <param name="progress">told how far long calls are</param>
    /// <param name="cancellation">ends the running cell</param>
    public static async Task<NotebookResult> RunAsync(
        string path, Notebook notebook, IReadOnlyDictionary<string, string> values, TimeSpan? timeout, Action<ProgressReport>? progress, CancellationToken cancellation)
    {
        var executed = NotebookRunner.Prepare(notebook, values);
        var (opened, started) = Start();
        using var pipe = opened;
        using var process = started;
        await process.StandardInput.WriteLineAsync(new NotebookRequest(Path.GetFullPath(path), values, timeout?.TotalSeconds).ToLine());
        await process.StandardInput.FlushAsync(CancellationToken.None);
        using var stop = cancellation.Register(() => _ = EndAsync(process));
        var (run, current, last) = (0, -1, (NotebookMessage?)null);
        using var reader = new StreamReader(pipe);
        while (last is null && await reader.ReadLineAsync(CancellationToken.None) is { } line)
        {
            var message = NotebookMessage.Parse(line);
            if (message.Starting is { } starting) (run, current) = (run + 1, starting);
            if (message.Ended is { } ended) executed.Cells[ended].SetOutputs(message.Count, message.Outputs!);
            if (message.Progress is { } report) progress?.Invoke(report);
            if (message.Done) last = message;
        }
        await process.WaitForExitAsync(CancellationToken.None);
        return new NotebookResult(executed, run, last is not null ? last.Failure : Lost(executed, current, process.ExitCode, cancellation));
    }

    // One at a time: a process that starts meanwhile would inherit the pipe's other end, and hold it open when its owner has ended.
    private static (AnonymousPipeServerStream Pipe, Process Process) Start()
    {
        lock (Starting)
        {
            var pipe = new AnonymousPipeServerStream(PipeDirection.In, HandleInheritability.Inheritable);
            var process = Start(pipe.GetClientHandleAsString());
            pipe.DisposeLocalCopyOfClientHandle();
            return (pipe, process);
        }
    }

    private static Process Start(string handle)
    {
        string program = Environment.ProcessPath!, assembly = typeof(NotebookProcess).Assembly.Location;
        string host = Path.Combine(Path.GetDirectoryName(assembly)!, OperatingSystem.IsWindows() ? "nq.exe" : "nq");
        string[] arguments = [CommandName, handle];
        var (file, all) = File.Exists(host) ? (host, arguments) : (Path.GetFileNameWithoutExtension(program) == "dotnet" ? program : "dotnet", [assembly, .. arguments]);
        // A lesson lives for seconds, most of them the compiler's, which is new code all the time: code that is counted, to be compiled better later, does not pay
        // here, so the counting waits until there was no new code for a second (0x400 ms).
        return Process.Start(new ProcessStartInfo(file, all)
        {
            RedirectStandardInput = true,
            UseShellExecute = false,
            Environment = { ["DOTNET_TC_CallCountingDelayMs"] = "400" },
        })!;
    }

    private static async Task EndAsync(Process process)
    {
        try
        {
            process.StandardInput.Close(); // It stops its cell, says so, and ends.
            using var patience = new CancellationTokenSource(Grace);
            await process.WaitForExitAsync(patience.Token);
        }
        catch (Exception error) when (error is OperationCanceledException or IOException or InvalidOperationException)
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
        }
    }

    private static CellFailure Lost(Notebook executed, int current, int code, CancellationToken cancellation)
    {
        var error = cancellation.IsCancellationRequested ? CellError.Engine("Cancelled", "The run was cancelled.")
            : CellError.Engine("ProcessEnded", $"the cell ended its process (exit code {code}{Meaning(code)}): nothing that a cell does may end it, and what stood before it is kept.");
        if (current < 0) return new CellFailure(executed.Name, 0, "none", error);
        var cell = executed.Cells[current];
        cell.SetOutputs(null, [error.ToOutput()]);
        return new CellFailure(executed.Name, current + 1, cell.Id, error);
    }

    private static string Meaning(int code) => code switch
    {
        134 => ", aborted: a stack overflow, or a failed check in native code",
        137 => ", killed: out of memory, or by somebody",
        139 => ", a segmentation fault in native code",
        _ => ": Environment.Exit or a crash",
    };
}
