using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Spectre.Console;
using Progress = Spectre.Console.Progress;
using Table = NeuronQuant.Display.Table;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// What a command shows. On a terminal: colours and a progress bar on standard error. Redirected: plain text, and no progress. With
/// --json: one JSON document on standard output, snake_case, and nothing else.
/// </summary>
internal static class Terminal
{
    private static readonly JsonSerializerOptions JsonOptions = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
    };

    /// <summary>Prints the one JSON document of a command.</summary>
    public static void Json(object document) => Console.Out.WriteLine(JsonSerializer.Serialize(document, JsonOptions));

    /// <summary>Prints a table whole.</summary>
    public static void Show(Table table) => Console.Out.WriteLine(table.Show(int.MaxValue) + Environment.NewLine);

    /// <summary>Prints a line.</summary>
    public static void Say(string line) => Console.Out.WriteLine(line);

    /// <summary>Prints a line that a reader should not miss, to standard error, so that it never mixes with results.</summary>
    public static void Warn(string line)
    {
        if (Console.IsErrorRedirected) Console.Error.WriteLine($"note: {line}");
        else ErrorConsole().MarkupLineInterpolated($"[yellow]note:[/] {line}");
    }

    /// <summary>Runs work that reports (done, total), with a bar and the time left on a terminal.</summary>
    public static T WithProgress<T>(string title, Func<Action<long, long>, T> work)
    {
        if (Console.IsErrorRedirected) return work((_, _) => { });
        var bar = new Progress(ErrorConsole()).AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn());
        return bar.Start(context =>
        {
            var task = context.AddTask(title);
            return work((done, total) =>
            {
                task.MaxValue = Math.Max(1, total);
                task.Value = done;
            });
        });
    }

    private static IAnsiConsole ErrorConsole() => AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
}
