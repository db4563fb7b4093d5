using System.Diagnostics;
using System.Text.Json.Nodes;
using KernelDiagnostic = Microsoft.DotNet.Interactive.Diagnostic;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Why a cell failed.</summary>
/// <param name="Name">The exception's type, "CompilationError", "CellTimeout", "Cancelled" or "ProcessEnded".</param>
/// <param name="Message">What was found and expected.</param>
/// <param name="Line">The cell's own line, from 1; 0 when it is not known.</param>
/// <param name="Trace">What the notebook keeps: no path of the machine and no address, so that it is the same everywhere.</param>
internal sealed record CellError(string Name, string Message, int Line, IReadOnlyList<string> Trace)
{
    /// <summary>An error of the compiler, which ran nothing.</summary>
    public static CellError Compilation(IReadOnlyList<KernelDiagnostic> errors)
    {
        (int Line, string Text)[] lines = [.. errors.Select(error => (error.LinePositionSpan.Start.Line + 1, $"{error.Code}: {error.Message}"))];
        return new CellError("CompilationError", lines[0].Text, lines[0].Line, [.. lines.Select(error => $"line {error.Line}: {error.Text}")]);
    }

    /// <summary>An exception that the cell threw.</summary>
    public static CellError Thrown(Exception exception, string cellFile, string source)
    {
        var line = LineOf(exception, cellFile);
        var lines = source.Split('\n');
        var where = line > 0 && line <= lines.Length ? $"line {line}: {lines[line - 1].Trim()}" : "in code that the cell called";
        var causes = new List<string>();
        for (var cause = exception; cause is not null && causes.Count < 5; cause = cause.InnerException)
            causes.Add($"{cause.GetType().Name}: {cause.Message}");
        return new CellError(exception.GetType().Name, exception.Message, line, [where, .. causes]);
    }

    /// <summary>An error that the engine itself found.</summary>
    public static CellError Engine(string name, string message) => new(name, message, 0, [message]);

    /// <summary>The error as nbformat's output.</summary>
    public JsonObject ToOutput() => new()
    {
        ["ename"] = Name,
        ["evalue"] = Message,
        ["output_type"] = "error",
        ["traceback"] = new JsonArray([.. Trace.Select(line => (JsonNode)line)]),
    };

    private static int LineOf(Exception exception, string cellFile)
    {
        for (var cause = exception; cause is not null; cause = cause.InnerException)
            foreach (var frame in new StackTrace(cause, true).GetFrames())
                if (frame.GetFileName() is { } file && Path.GetFileName(file) == cellFile && frame.GetFileLineNumber() > 0)
                    return frame.GetFileLineNumber();
        return 0;
    }
}
