using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// What a command shows: results on standard output, notes and progress on standard error. With --json: one JSON document on standard
/// output, snake_case, and nothing else.
/// </summary>
internal static class CommandOutput
{
    private static readonly JsonSerializerOptions JsonOptions = new()
    {
        WriteIndented = true,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
    };

    /// <summary>Prints the one JSON document of a command.</summary>
    public static void Json(object document) => Console.Out.WriteLine(JsonSerializer.Serialize(document, JsonOptions));

    /// <summary>Prints a table whole.</summary>
    public static void Show(DataFrame table) => Console.Out.WriteLine(table.ToText(int.MaxValue) + Environment.NewLine);

    /// <summary>Prints a line.</summary>
    public static void Say(string line) => Console.Out.WriteLine(line);

    /// <summary>Prints a line that a reader should not miss, apart from the results.</summary>
    public static void Note(string line) => Terminal.WriteNote($"note: {line}");

    /// <summary>Runs work that reports (done, total), with the time left.</summary>
    public static T WithProgress<T>(string subject, Func<Action<long, long>, T> work, CancellationToken cancellation)
    {
        using var line = new ProgressLine(Console.Error, Console.IsErrorRedirected) { Subject = subject };
        Progress? progress = null;
        return work((done, total) => (progress ??= new Progress(total, line.Show, cancellation)).Report(done));
    }
}
