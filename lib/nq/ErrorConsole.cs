using Spectre.Console;

namespace NeuronQuant.CommandLine;

/// <summary>Writes a failure to the error stream, red where that is a terminal.</summary>
internal static class ErrorConsole
{
    public static void Write(string message)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(Console.Error),
            Ansi = Console.IsErrorRedirected ? AnsiSupport.No : AnsiSupport.Detect,
        });
        // A log must keep the message on one line, however wide it thinks its terminal is.
        if (Console.IsErrorRedirected) Console.Error.WriteLine(message);
        else console.MarkupLine($"[red]{Markup.Escape(message)}[/]");
    }
}
