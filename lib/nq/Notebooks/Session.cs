using System.Reflection;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Scripting;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Scripting;
using Microsoft.CodeAnalysis.Scripting.Hosting;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>What one cell did.</summary>
/// <param name="Outputs">In nbformat.</param>
/// <param name="Error">Why it failed; null when it did not.</param>
/// <param name="LeftBehind">True when the cell did not end though it was asked to: the session is of no use any more.</param>
internal sealed record CellResult(JsonArray Outputs, CellError? Error, bool LeftBehind);

/// <summary>One notebook's state: its variables, references and usings, carried from cell to cell.</summary>
/// <remarks>
/// <para>It behaves as the C# kernel of .NET Interactive was measured to: the same usings in scope, one chained script state, a compile
/// error runs nothing, an exception keeps what was assigned before it, C# 13, no optimization.</para>
/// <para>A cell runs on a thread of its own. Code in .NET cannot be stopped from outside: when the time is up the library's long calls
/// are asked to stop (<see cref="Workbook.Cancellation"/>), and a cell that still does not end is left behind on its background thread,
/// which ends with the process. The session cannot be used after that.</para>
/// </remarks>
internal sealed class Session
{
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1.5);
    private static readonly string[] Usings =
    [
        "System", "System.Text", "System.Collections", "System.Collections.Generic", "System.Threading.Tasks", "System.Linq",
        typeof(CellFunctions).FullName!,
    ];

    private readonly InteractiveAssemblyLoader _loader = new();
    private readonly Action<JsonObject>? _live;
    private ScriptOptions _options;
    private ScriptState<object>? _state;
    private string _folder;
    private int _count;

    /// <summary>A session whose cells run in this folder.</summary>
    /// <param name="folder">The current directory of its cells.</param>
    /// <param name="live">Told each output while its cell runs; null for nobody.</param>
    public Session(string folder, Action<JsonObject>? live = null)
    {
        (_folder, _live) = (Path.GetFullPath(folder), live);
        _options = ScriptOptions.Default.WithLanguageVersion(LanguageVersion.CSharp13).WithOptimizationLevel(OptimizationLevel.Debug)
            .WithEmitDebugInformation(true).WithFileEncoding(Encoding.UTF8).WithImports(Usings)
            .WithReferences([.. CellReferences.Platform, CellReferences.Of(typeof(CellFunctions).Assembly.Location)]);
        _loader.RegisterDependency(typeof(CellFunctions).Assembly);
        _loader.RegisterDependency(typeof(Workbook).Assembly);
    }

    /// <summary>How many cells have run.</summary>
    public int Count => _count;

    /// <summary>Runs one cell.</summary>
    /// <param name="source">C# and #r lines.</param>
    /// <param name="timeout">How long it may take; null for as long as it needs.</param>
    /// <param name="cancellation">Ends it.</param>
    public async Task<CellResult> RunAsync(string source, TimeSpan? timeout, CancellationToken cancellation)
    {
        using var host = await CellHost.EnterAsync(_folder, cancellation);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        _count++;
        var outputs = new CellOutputs(_live);
        var compiled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Workbook.Cancellation = stop.Token;
        var ended = Start(source, outputs, compiled, stop.Token);
        // The compiler's own start, seconds in the first cell, is not the cell's time.
        await Task.WhenAny(compiled.Task, ended);
        var limit = Task.Delay(timeout ?? Timeout.InfiniteTimeSpan, stop.Token);
        CellError? error;
        if (await Task.WhenAny(ended, limit) == ended) error = await ended;
        else
        {
            await stop.CancelAsync();
            await Task.WhenAny(ended, Task.Delay(Grace, CancellationToken.None));
            error = cancellation.IsCancellationRequested
                ? CellError.Engine("Cancelled", "The run was cancelled.")
                : CellError.Engine("CellTimeout", FormattableString.Invariant($"The cell did not end within {timeout!.Value.TotalSeconds:0.###} s: ")
                    + "give it more time with --timeout, or less to do.");
        }
        await stop.CancelAsync();
        Workbook.Cancellation = CancellationToken.None;
        if (error is null) _folder = Directory.GetCurrentDirectory();
        else outputs.AddError(error);
        return new CellResult(outputs.Close(), error, !ended.IsCompleted);
    }

    /// <summary>A cell that is being written, compiled in its place behind those that ran, and never run.</summary>
    /// <param name="source">C#, incomplete as it may be; lines that are commands of the engine must be blank.</param>
    public Compilation Draft(string source)
    {
        var options = _options.WithFilePath("draft");
        var script = _state is null ? CSharpScript.Create<object>(source, options, null, _loader) : _state.Script.ContinueWith<object>(source, options);
        return script.GetCompilation();
    }

    private Task<CellError?> Start(string source, CellOutputs outputs, TaskCompletionSource compiled, CancellationToken cancellation)
    {
        var completion = new TaskCompletionSource<CellError?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            CellOutputs.Current = outputs;
            completion.SetResult(Execute(source, outputs, compiled, cancellation));
        }, 16 << 20)
        { IsBackground = true, Name = "cell" };
        thread.Start();
        return completion.Task;
    }

    private CellError? Execute(string source, CellOutputs outputs, TaskCompletionSource compiled, CancellationToken cancellation)
    {
        var file = $"cell-{_count}";
        try
        {
            var script = Compile(source, file, out var error);
            if (error is not null) return error;
            compiled.SetResult();
            var run = _state is null ? script.RunAsync(null, _ => true, cancellation) : script.RunFromAsync(_state, _ => true, cancellation);
            _state = run.GetAwaiter().GetResult();
            if (_state.Exception is { } exception) return CellError.Thrown(exception, file, source);
            if (_state.ReturnValue is not DisplayedValue && (_state.ReturnValue is not null || EndsWithValue(script)))
                outputs.AddResult(_count, ValueFormatter.Format(_state.ReturnValue));
            return null;
        }
        catch (CellCommandException exception)
        {
            return CellError.Engine("CommandError", exception.Message, exception.Line);
        }
        catch (Exception exception)
        {
            // What formatting threw, and what the engine itself could not do, is the cell's failure, not the program's.
            return CellError.Thrown(exception, file, source);
        }
    }

    private Script<object> Compile(string source, string file, out CellError? error)
    {
        var (code, assemblies) = CellReferences.Read(source, _folder);
        var options = _options.WithFilePath(file);
        foreach (var assembly in assemblies)
        {
            _loader.RegisterDependency(assembly);
            options = options.AddReferences(CellReferences.Of(assembly.Location));
        }
        var script = _state is null ? CSharpScript.Create<object>(code, options, null, _loader) : _state.Script.ContinueWith<object>(code, options);
        var diagnostics = script.Compile();
        error = diagnostics.Any(d => d.Severity == DiagnosticSeverity.Error) ? CellError.Compilation(diagnostics) : null;
        if (error is null) _options = options;
        return script;
    }

    /// <summary>Whether a null result is a value that the cell ends with, to be shown as such, or the absence of one.</summary>
    private static bool EndsWithValue(Script script)
    {
        var compilation = script.GetCompilation();
        var tree = compilation.SyntaxTrees.Single();
        return (((CompilationUnitSyntax)tree.GetRoot()).Members.LastOrDefault() as GlobalStatementSyntax)?.Statement switch
        {
            ReturnStatementSyntax { Expression: not null } => true,
            ExpressionStatementSyntax { SemicolonToken.IsMissing: true } last =>
                compilation.GetSemanticModel(tree).GetTypeInfo(last.Expression).Type?.SpecialType != SpecialType.System_Void,
            _ => false,
        };
    }
}
