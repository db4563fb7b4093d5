using Spectre.Console;

namespace NeuronQuant.CommandLine;

/// <summary>Writes lines for a person: coloured in a terminal, plain and unwrapped when redirected to a file or another program.</summary>
internal static class Terminal
{
    /// <summary>Writes a line of Spectre markup to the output; escape what is not markup with <see cref="Escape"/>.</summary>
    public static void WriteLine(string markup) => Write(markup, Console.Out, Console.IsOutputRedirected);

    /// <summary>Writes a failure to the error stream, red where that is a terminal.</summary>
    public static void WriteError(string message) => Write($"[red]{Escape(message)}[/]", Console.Error, Console.IsErrorRedirected);

    /// <summary>Writes a note to the error stream, yellow where that is a terminal.</summary>
    public static void WriteNote(string message) => Write($"[yellow]{Escape(message)}[/]", Console.Error, Console.IsErrorRedirected);

    /// <summary>Makes any text safe inside markup.</summary>
    public static string Escape(string text) => Markup.Escape(text);

    private static void Write(string markup, TextWriter writer, bool isRedirected)
    {
        // Spectre wraps at 80 columns where it finds no terminal; a log must keep a message on its line.
        if (isRedirected) writer.WriteLine(Markup.Remove(markup));
        else AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(writer) }).MarkupLine(markup);
    }
}
