using System.CommandLine;
using NeuronQuant.CommandLine.Notebooks;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq diff</c>: the outputs of two runs of the same notebooks, number by number. What two machines or two hosts make differently is found here.</summary>
internal static class DiffCommand
{
    public static Command Create()
    {
        var kept = new Argument<string>("kept") { Description = "A notebook, or a folder of notebooks." };
        var made = new Argument<string>("made") { Description = "The same, from another run." };
        var tolerance = new Option<double>("--tolerance") { Description = "Greatest relative difference of two numbers.", DefaultValueFactory = _ => 1e-4 };
        var command = new Command("diff", "Compare the outputs of two runs of notebooks, number by number.") { kept, made, tolerance };
        command.SetAction(result => Run(result.GetRequiredValue(kept), result.GetRequiredValue(made), result.GetValue(tolerance)));
        return command;
    }

    private static int Run(string kept, string made, double tolerance)
    {
        string[] files = File.Exists(kept) ? [kept] : [.. Directory.EnumerateFiles(kept, "*.ipynb").Order(StringComparer.Ordinal)];
        if (files.Length == 0) throw new UsageException($"There is no notebook in {kept}.");
        int differences = 0;
        foreach (string file in files)
        {
            string other = Directory.Exists(made) ? Path.Combine(made, Path.GetFileName(file)) : made;
            if (new NotebookComparer(Notebook.Load(file), Notebook.Load(other), tolerance).FirstDifference() is not { } difference) continue;
            differences++;
            Terminal.WriteError(difference);
        }
        Terminal.WriteLine($"{files.Length} compared, {differences} differ");
        return differences == 0 ? 0 : 1;
    }
}
