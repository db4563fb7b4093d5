using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using NeuronQuant.CommandLine.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>
/// The notebooks as they lie in the repository: their format and their craft. The solutions are run again here and compared; the lessons by .ci/run, which
/// compares the book that nq run makes with what is committed, and the real kernel's outputs with the book.
/// </summary>
[Collection("notebooks")]
public partial class CommittedNotebookTests
{
    // Sums of floats may be ordered otherwise on another machine; a figure's last digits then move.
    private const double Tolerance = 1e-4;

    public static TheoryData<string> Lessons => [.. Files("notebooks")];

    public static TheoryData<string> Solutions => [.. Files("notebooks/solutions")];

    public static TheoryData<string> All => [.. Files("notebooks").Concat(Files("notebooks/solutions"))];

    [Theory]
    [MemberData(nameof(All))]
    public void The_format_opens_in_every_host(string file)
    {
        var json = JsonNode.Parse(File.ReadAllText(Repository.PathOf(file)))!;
        Assert.Equal((4, 5), ((int)json["nbformat"]!, (int)json["nbformat_minor"]!));
        Assert.Equal(".net-csharp", (string)json["metadata"]!["kernelspec"]!["name"]!);
        var cells = json["cells"]!.AsArray();
        Assert.Equal(cells.Count, cells.Select(cell => (string)cell!["id"]!).Distinct().Count());
        Assert.DoesNotContain(cells, cell => (string)cell!["cell_type"]! == "raw");
        var code = Notebook.Load(Repository.PathOf(file)).Cells.Where(cell => cell.IsCode).ToArray();
        Assert.All(code, cell => Assert.Equal("csharp", (string?)cell.Json["metadata"]?["polyglot_notebook"]?["kernelName"]));
        Assert.StartsWith("#r \"", code[0].Source, StringComparison.Ordinal);
        Assert.Single(code, cell => cell.Source.Contains("#r ", StringComparison.Ordinal));
        Assert.DoesNotContain(code, cell => cell.Source.Split('\n').Any(line => line.StartsWith("#!", StringComparison.Ordinal)));
    }

    [Theory]
    [MemberData(nameof(Lessons))]
    public void The_craft_is_kept(string file)
    {
        var notebook = Notebook.Load(Repository.PathOf(file));
        var code = notebook.Cells.Where(cell => cell.IsCode).ToArray();
        Assert.True(new FileInfo(Repository.PathOf(file)).Length < 150 * 1024, "a notebook stays under 150 KB with its outputs");
        Assert.All(code, cell => Assert.InRange(cell.Source.Split('\n').Length, 1, 30));
        int[] lines = [.. code.Select(cell => cell.Source.Split('\n').Length).Order()];
        Assert.InRange(lines[lines.Length / 2], 1, 6);
        int words = notebook.Cells.Where(cell => !cell.IsCode).Sum(cell => Words().Count(cell.Source));
        Assert.InRange(words, 600, 2500);
        Assert.Single(code, cell => cell.IsParameters);
        string prose = string.Join('\n', notebook.Cells.Where(cell => !cell.IsCode).Select(cell => cell.Source));
        Assert.DoesNotContain(Repository.Root, notebook.ToJson(), StringComparison.Ordinal);
        Assert.Contains("## Summary", prose, StringComparison.Ordinal);
        Assert.Contains("## Exercise", prose, StringComparison.Ordinal);
        Assert.True(File.Exists(Repository.PathOf("notebooks", "solutions", Path.GetFileName(file))), "each notebook has its solutions");
    }

    [Theory]
    [MemberData(nameof(Solutions))]
    public async Task The_outputs_are_what_the_cells_give_today(string file)
    {
        var committed = Notebook.Load(Repository.PathOf(file));
        var folder = Path.GetDirectoryName(Repository.PathOf(file))!;
        var result = await NotebookRunner.RunAsync(NotebookRunner.Prepare(committed, Parameters.Parse([])), folder, TimeSpan.FromMinutes(5), cancellation: TestContext.Current.CancellationToken);
        Assert.True(result.Failure is null, $"{result.Failure}");
        Assert.Null(new NotebookComparer(committed, result.Executed, Tolerance).FirstDifference());
    }

    [Theory]
    [MemberData(nameof(Solutions))]
    public void Every_exercise_is_solved_and_none_is_missing(string file)
    {
        string solved = Notebook.Load(Repository.PathOf(file)).ToJson(), lesson = Notebook.Load(Repository.PathOf("notebooks", Path.GetFileName(file))).ToJson();
        Assert.DoesNotContain("not solved yet", solved, StringComparison.Ordinal);
        var asked = Checks().Matches(lesson).Select(match => match.Groups[1].Value).ToArray();
        Assert.NotEmpty(asked);
        Assert.Equal(asked, Checks().Matches(solved).Select(match => match.Groups[1].Value));
        Assert.Equal(asked.Length, Regex.Count(solved, "solved: \\d+ cases agree") / 2); // once as text, once as HTML
    }

    private static IEnumerable<string> Files(string folder) =>
        Directory.EnumerateFiles(Repository.PathOf(folder), "*.ipynb").Order().Select(path => $"{folder}/{Path.GetFileName(path)}");

    [GeneratedRegex(@"Exercise\.Check(?:<[^(]*?(?:\([^)]*\))?[^(]*>)?\(\\""([^\\]+)\\""")]
    private static partial Regex Checks();

    [GeneratedRegex(@"\w+")]
    private static partial Regex Words();
}
