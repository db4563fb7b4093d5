using System.Diagnostics;
using Microsoft.CodeAnalysis;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Why a cell failed.</summary>
/// <param name="Name">The exception's type, "CompilationError", "CellTimeout" or "Cancelled".</param>
/// <param name="Message">What was found and expected.</param>
/// <param name="Line">The cell's own line, from 1; 0 when it is not known.</param>
/// <param name="Trace">What the notebook keeps: no path of the machine and no address, so that it is the same everywhere.</param>
internal sealed record CellError(string Name, string Message, int Line, IReadOnlyList<string> Trace)
{
    /// <summary>An error of the compiler, which ran nothing.</summary>
    public static CellError Compilation(IEnumerable<Diagnostic> diagnostics)
    {
        var errors = diagnostics.Where(d => d.Severity == DiagnosticSeverity.Error)
            .Select(d => (Line: d.Location.GetLineSpan().StartLinePosition.Line + 1,
                Text: $"{d.Id}: {d.GetMessage(System.Globalization.CultureInfo.InvariantCulture)}")).ToArray();
        return new CellError("CompilationError", errors[0].Text, errors[0].Line, [.. errors.Select(error => $"line {error.Line}: {error.Text}")]);
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
    public static CellError Engine(string name, string message, int line = 0) =>
        new(name, message, line, line > 0 ? [$"line {line}: {message}"] : [message]);

    private static int LineOf(Exception exception, string cellFile)
    {
        for (var cause = exception; cause is not null; cause = cause.InnerException)
            foreach (var frame in new StackTrace(cause, true).GetFrames())
                if (frame.GetFileName() is { } file && Path.GetFileName(file) == cellFile && frame.GetFileLineNumber() > 0)
                    return frame.GetFileLineNumber();
        return 0;
    }
}
