using System.CommandLine;
using System.Globalization;
using NeuronQuant.Checkpoints;
using NeuronQuant.CommandLine.Notebooks;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq run</c>: notebooks as a batch job, and as a book.</summary>
internal static class RunCommand
{
    /// <summary>The command with its options.</summary>
    public static Command Create()
    {
        var notebooks = new Argument<string[]>("notebooks")
        {
            Description = "Notebooks, or folders of notebooks. Default: the folder \"notebooks\" here or above.",
            Arity = ArgumentArity.ZeroOrMore,
        };
        var parameters = new Option<string[]>("-p", "--parameter")
        {
            Description = "name=value: sets a parameter that a notebook declares.",
            Arity = ArgumentArity.OneOrMore,
        };
        var output = new Option<string>("--out") { Description = "Folder for the executed notebooks and the book. Default: out/book." };
        var timeout = new Option<double?>("--timeout") { Description = "Seconds that a cell may take. Default: as long as it needs." };
        var inPlace = new Option<bool>("--in-place") { Description = "Also writes the outputs into the notebooks themselves." };
        var atOnce = new Option<int?>("--jobs")
        {
            Description = "Notebooks that run at the same time, each in a process of its own. Default: 2, and 1 with -p, where a model may be large.",
        };
        atOnce.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() is < 1) result.AddError("--jobs: give 1 or more.");
        });
        timeout.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double?>() is <= 0) result.AddError("--timeout: give a number of seconds above zero.");
        });
        var command = new Command("run", "Runs notebooks from top to bottom and makes a book of them.")
        {
            notebooks, parameters, output, timeout, inPlace, atOnce,
        };
        command.SetAction((parsed, cancellation) =>
        {
            var here = Directory.GetCurrentDirectory();
            var request = new BookRequest(
                NotebookSet.Find(parsed.GetValue(notebooks) ?? [], here),
                Parameters.Parse(parsed.GetValue(parameters) ?? []),
                Path.GetFullPath(parsed.GetValue(output) ?? Path.Combine(NotebookSet.Root(here), "out", "book")),
                parsed.GetValue(timeout) is { } seconds ? TimeSpan.FromSeconds(seconds) : null,
                parsed.GetValue(inPlace),
                parsed.GetValue(atOnce) ?? (parsed.GetValue(parameters) is { Length: > 0 } ? 1 : 2));
            if (!request.InPlace && request.Paths.FirstOrDefault(path => TargetGuard.AreSame(Path.Combine(request.Output, Path.GetFileName(path)), path)) is { } own)
                throw new UsageException($"--out {request.Output}: the executed {Path.GetFileName(own)} would replace the notebook. Give another folder, or --in-place to mean it.");
            return RunAsync(request, cancellation);
        });
        return command;
    }

    private static async Task<int> RunAsync(BookRequest request, CancellationToken cancellation)
    {
        using var progress = new ProgressLine(Console.Error, Console.IsErrorRedirected);
        void Finished(NotebookResult result, TimeSpan time)
        {
            progress.Clear();
            var seconds = time.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture);
            var verdict = result.Failure is null ? "[green]ok[/]    " : "[red]failed[/]";
            Terminal.WriteLine($"{verdict} {Terminal.Escape(result.Executed.Name)}  {result.CellsRun} cells, {seconds} s");
        }
        var failure = await BookRun.RunAsync(request, notebook => progress.Subject = notebook.Name, Finished, progress.Show, cancellation);
        if (failure is not null)
        {
            Terminal.WriteError(failure.ToString());
            return 1;
        }
        var index = Path.Combine(Path.GetRelativePath(Directory.GetCurrentDirectory(), request.Output), "index.html");
        Terminal.WriteLine($"The book is in {Terminal.Escape(index)}");
        return 0;
    }
}
