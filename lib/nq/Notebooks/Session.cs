using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Scripting;
using Microsoft.DotNet.Interactive;
using Microsoft.DotNet.Interactive.Commands;
using Microsoft.DotNet.Interactive.CSharp;
using Microsoft.DotNet.Interactive.Events;
using NeuronQuant.Display;
using KernelDiagnostic = Microsoft.DotNet.Interactive.Diagnostic;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>What became of a cell.</summary>
/// <param name="Outputs">In nbformat.</param>
/// <param name="Error">Null when it ended well.</param>
/// <param name="LeftBehind">It did not end: its thread runs on, and the session cannot be used again.</param>
internal sealed record CellResult(JsonArray Outputs, CellError? Error, bool LeftBehind);

/// <summary>One notebook's state: the C# kernel of .NET Interactive, in this process.</summary>
/// <remarks>
/// <para>Cells, magic commands, values and their formatters are the package's. What is added: the cell's line in a runtime error, updates that
/// keep their place, and an end in time.</para>
/// <para>The current directory is the notebook's folder, to which #r is relative, from the start of the session to its end; it belongs to the
/// process, so one session at a time.</para>
/// <para>Code in .NET cannot be stopped from outside. When the time is up the library's long calls are asked to stop
/// (<see cref="Workbook.Cancellation"/>); a cell that still does not end is left behind, and its process has to be ended. The kernel's own token is
/// not used: given to a cell that does not end, it loses the console of all later ones.</para>
/// </remarks>
internal sealed class Session : IDisposable
{
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1.5);

    private readonly CSharpKernel _csharp = new();
    private readonly CompositeKernel _kernel = new();
    private readonly string _before = Directory.GetCurrentDirectory();

    private Session(string folder)
    {
        Directory.SetCurrentDirectory(folder);
        _csharp.UseValueSharing();
        _kernel.Add(_csharp);
        _kernel.DefaultKernelName = _csharp.Name;
        NotebookFormatting.Register();
        Workbook.IsHeadless = true;
    }

    /// <summary>How many cells have run.</summary>
    public int Count { get; private set; }

    /// <summary>A session whose cells run in this folder.</summary>
    public static async Task<Session> StartAsync(string folder)
    {
        var session = new Session(Path.GetFullPath(folder));
        var functions = typeof(CellFunctions);
        await session._kernel.SendAsync(new SubmitCode($"#r \"{functions.Assembly.Location}\"\nusing static {functions.FullName};"));
        return session;
    }

    /// <summary>Runs one cell.</summary>
    /// <param name="source">C#, #r lines and magic commands.</param>
    /// <param name="timeout">How long it may take; null for as long as it needs.</param>
    /// <param name="cancellation">Ends it.</param>
    public async Task<CellResult> RunAsync(string source, TimeSpan? timeout, CancellationToken cancellation)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Count++;
        string file = $"cell-{Count}";
        KeepLines(file);
        var (outputs, errors, failed) = (new CellOutputs(), new List<KernelDiagnostic>(), (CommandFailed?)null);
        using var events = _kernel.KernelEvents.Subscribe(happened =>
        {
            if (happened is DisplayEvent shown) outputs.Add(shown, Count);
            else if (happened is DiagnosticsProduced produced) errors = [.. produced.Diagnostics.Where(one => one.Severity == DiagnosticSeverity.Error)];
            else if (happened is CommandFailed failure) failed ??= failure;
        });
        Workbook.Cancellation = stop.Token;
        // A thread of its own: a cell that never yields must not hold the one that watches the clock.
        var sent = Task.Factory.StartNew(() => _kernel.SendAsync(new SubmitCode(source), CancellationToken.None), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();
        bool ended = await Task.WhenAny(sent, Task.Delay(timeout ?? Timeout.InfiniteTimeSpan, stop.Token)) == sent;
        await stop.CancelAsync();
        if (!ended) await Task.WhenAny(sent, Task.Delay(Grace, CancellationToken.None));
        Workbook.Cancellation = CancellationToken.None;
        var error = !ended ? Stopped(timeout, cancellation) : failed is null ? null : Failed(failed, errors, file, source);
        return new CellResult(outputs.Close(error), error, !sent.IsCompleted);
    }

    /// <summary>Ends the kernel and puts the current directory back.</summary>
    public void Dispose()
    {
        _kernel.Dispose();
        Workbook.IsHeadless = false;
        Directory.SetCurrentDirectory(_before);
    }

    private static CellError Stopped(TimeSpan? timeout, CancellationToken cancellation) => cancellation.IsCancellationRequested
        ? CellError.Engine("Cancelled", "The run was cancelled.")
        : CellError.Engine("CellTimeout", FormattableString.Invariant($"The cell did not end within {timeout!.Value.TotalSeconds:0.###} s: ") + "give it more time with --timeout, or less to do.");

    private static CellError Failed(CommandFailed failed, IReadOnlyList<KernelDiagnostic> errors, string file, string source) =>
        errors.Count > 0 ? CellError.Compilation(errors)
        : failed.Exception is { } exception and not CodeSubmissionCompilationErrorException ? CellError.Thrown(exception, file, source)
        : CellError.Engine("CommandError", failed.Message);

    // The kernel compiles without debug information, without which no stack trace has a line, and has no public way to ask for it. Where the field
    // is gone in another version, only the line is lost.
    private void KeepLines(string file)
    {
        try
        {
            ref var options = ref Options(_csharp);
            options = options.WithFilePath(file).WithEmitDebugInformation(true).WithFileEncoding(Encoding.UTF8);
        }
        catch (MissingFieldException)
        {
        }
    }

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_scriptOptions")]
    private static extern ref ScriptOptions Options(CSharpKernel kernel);
}
