using System.Text.RegularExpressions;
using NeuronQuant.CommandLine;
using NeuronQuant.CommandLine.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>A whole run, by the program's own entry point: files, exit codes and the book.</summary>
[Collection("notebooks")]
public sealed class BookRunTests : IDisposable
{
    private const string FigureCell = "Charts.Bars(\"s\", new[] { \"a\", \"b\" }, new[] { 1, layers }).Titled(\"</script>\")";
    private readonly string _folder = Directory.CreateTempSubdirectory("book").FullName;

    public BookRunTests()
    {
        Directory.CreateDirectory(At("notebooks", "solutions"));
        Save("00-start.ipynb", ("markdown", "# Start & go\n\nSee [next](01-next.ipynb#part).\n\n| a | b |\n|---|---|\n| 1 | 2 |", null),
            ("code", $"#r \"{Beside("NeuronQuant")}\"\n#r \"{Beside("Plotly.NET")}\"\n#r \"{Beside("DynamicObj")}\"\nusing NeuronQuant.Display;", null), ("code", "int layers = 3; // how many", "parameters"),
                ("code", FigureCell, null));
        Save("01-next.ipynb", ("markdown", "# Next", null), ("code", "Console.WriteLine(\"a < b\");\nnew[] { 1, 2 }", null));
        File.WriteAllText(At("notebooks", "solutions", "broken.ipynb"), "not run");
    }

    public void Dispose() => Directory.Delete(_folder, true);

    [Fact]
    public async Task ARunWritesExecutedNotebooksAndABookWithEveryFigure()
    {
        var before = File.ReadAllText(At("notebooks", "00-start.ipynb"));
        Assert.Equal(0, await Nq("run", At("notebooks"), "--out", At("out")));
        Assert.Equal(before, File.ReadAllText(At("notebooks", "00-start.ipynb")));
        Assert.Equal(["00-start.html", "00-start.ipynb", "01-next.html", "01-next.ipynb", "index.html", "plotly.min.js"],
            Directory.GetFiles(At("out")).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        var page = File.ReadAllText(At("out", "00-start.html"));
        Assert.Single(Regex.Matches(page, "data:image/svg"));
        Assert.Single(Regex.Matches(page, "src=\"plotly.min.js\""));
        Assert.Equal(3, Regex.Count(page, "</script>")); // the figure's data, the library, the few lines that join them: no label ends one
        Assert.Contains("<table>", page, StringComparison.Ordinal);
        Assert.Contains("href=\"01-next.html#part\"", page, StringComparison.Ordinal);
        Assert.Contains("<span class=\"c\">// how many</span>", page, StringComparison.Ordinal);
        Assert.Contains("a &lt; b", File.ReadAllText(At("out", "01-next.html")), StringComparison.Ordinal);
        Assert.Contains("Start &amp; go", File.ReadAllText(At("out", "index.html")), StringComparison.Ordinal);
        Assert.DoesNotContain("http", page, StringComparison.Ordinal);
        Assert.DoesNotContain("<script", File.ReadAllText(At("out", "01-next.html")), StringComparison.Ordinal); // no figure, no script
        foreach (var file in Directory.GetFiles(At("out"))) Assert.DoesNotContain(_folder, File.ReadAllText(file), StringComparison.Ordinal);
    }

    [Fact]
    public async Task RunningTwiceGivesTheSameBytes()
    {
        Assert.Equal(0, await Nq("run", At("notebooks"), "--out", At("out")));
        var first = Directory.GetFiles(At("out")).Order(StringComparer.Ordinal).Select(File.ReadAllText).ToArray();
        Assert.Equal(0, await Nq("run", At("notebooks"), "--out", At("out")));
        Assert.Equal(first, Directory.GetFiles(At("out")).Order(StringComparer.Ordinal).Select(File.ReadAllText));
    }

    [Fact]
    public async Task ParametersAreInjectedAndUsed()
    {
        Assert.Equal(0, await Nq("run", At("notebooks"), "-p", "layers=9", "--out", At("out")));
        var executed = Notebook.Load(At("out", "00-start.ipynb"));
        Assert.Equal("// Parameters\nvar layers = 9;", executed.Cells.Single(cell => cell.IsInjected).Source);
        Assert.Contains("1 to 9", NotebookText.Plain(executed.Cells[^1].Outputs[0]), StringComparison.Ordinal);
        Assert.Equal([1, 2, 3, 4], executed.Cells.Where(cell => cell.IsCode).Select(cell => (int)cell.Json["execution_count"]!));
    }

    [Fact]
    public async Task NotebooksRunTogetherAndAreToldOfInTheirOrder()
    {
        // Each waits for the other: one after another they would not end.
        string Waits(string mine, string other) =>
            $"System.IO.File.WriteAllText(\"{mine}\", \"\");\nfor (int i = 0; i < 600 && !System.IO.File.Exists(\"{other}\"); i++) System.Threading.Thread.Sleep(100);\nSystem.IO.File.Exists(\"{other}\")";
        Save("00-start.ipynb", ("markdown", "# A", null), ("code", Waits("a.txt", "b.txt") + "\n", null), ("code", "System.Threading.Thread.Sleep(1000);", null));
        Save("01-next.ipynb", ("markdown", "# B", null), ("code", Waits("b.txt", "a.txt"), null));
        var said = new StringWriter();
        Assert.Equal(0, await Nq(new StringWriter(), said, "run", At("notebooks"), "--out", At("out"), "--jobs", "2"));
        Assert.Equal(["00-start.ipynb", "01-next.ipynb"], Regex.Matches(said.ToString(), @"\d\d-\w+\.ipynb").Select(match => match.Value));
        foreach (string name in new[] { "00-start.ipynb", "01-next.ipynb" })
            Assert.Equal("True", NotebookText.Plain(Notebook.Load(At("out", name)).Cells[1].Outputs.Single()));
    }

    [Theory]
    [InlineData("-p", "depth=1")]
    [InlineData("-p", "layers=x")]
    [InlineData("--timeout", "-1")]
    [InlineData("--jobs", "0")]
    [InlineData("--unknown", "1")]
    [InlineData("absent.ipynb", "--in-place")]
    public async Task UsageErrorsExitWithTwoAndRunNothing(string first, string second)
    {
        Assert.Equal(2, await Nq("run", At("notebooks"), "--out", At("out"), first, second));
        Assert.False(Directory.Exists(At("out")));
    }

    [Fact]
    public async Task TheFirstFailingCellStopsTheRun()
    {
        Save("00-start.ipynb", ("markdown", "# Start", null), ("code", "var z = 0;", null), ("code", "var a = 1;\n1 / z", null),
            ("code", "\"never\"", null));
        var error = new StringWriter();
        Assert.Equal(1, await Nq(error, "run", At("notebooks"), "--out", At("out")));
        Assert.Equal("00-start.ipynb, cell 3 (id c3), line 2: DivideByZeroException: Attempted to divide by zero.", error.ToString().Trim());
        Assert.Equal(["00-start.ipynb"], Directory.GetFiles(At("out")).Select(Path.GetFileName));
        var executed = Notebook.Load(At("out", "00-start.ipynb"));
        Assert.Equal("error", (string)executed.Cells[2].Outputs.Single()!["output_type"]!);
        Assert.Empty(executed.Cells[3].Outputs);
    }

    [Theory]
    [InlineData("System.Environment.Exit(3);", "exit code 3")]
    [InlineData("void F() { F(); G(); }\nvoid G() { }\nF();", "exit code 134, aborted: a stack overflow")]
    public async Task ACellThatEndsItsProcessIsNamedAndTheBookIsNot(string source, string message)
    {
        Save("00-start.ipynb", ("code", "1", null), ("code", source, null));
        var error = new StringWriter();
        Assert.Equal(1, await Nq(error, "run", At("notebooks"), "--out", At("out")));
        Assert.StartsWith("00-start.ipynb, cell 2 (id c2): ProcessEnded: ", error.ToString().Trim(), StringComparison.Ordinal);
        Assert.Contains(message, error.ToString(), StringComparison.Ordinal);
        var executed = Notebook.Load(At("out", "00-start.ipynb"));
        Assert.Equal("1", NotebookText.Plain(executed.Cells[0].Outputs.Single()));
        Assert.Equal("ProcessEnded", (string)executed.Cells[1].Outputs.Single()!["ename"]!);
    }

    [Fact]
    public async Task TagsMeanWhatTheyMeanToNbclient()
    {
        Save("00-start.ipynb", ("code", "throw new Exception(\"shown\");", "raises-exception"), ("code", "throw new Exception(\"never\");", "skip-execution"), ("code", "2", null));
        Assert.Equal(0, await Nq("run", At("notebooks", "00-start.ipynb"), "--out", At("out")));
        var cells = Notebook.Load(At("out", "00-start.ipynb")).Cells;
        Assert.Equal("shown", (string)cells[0].Outputs.Single()!["evalue"]!);
        Assert.Empty(cells[1].Outputs);
        Assert.Equal("2", NotebookText.Plain(cells[2].Outputs.Single()));
    }

    [Fact]
    public async Task InPlaceKeepsTheOutputsInTheNotebook()
    {
        Assert.Equal(0, await Nq("run", At("notebooks", "01-next.ipynb"), "--in-place", "--out", At("out")));
        var kept = Notebook.Load(At("notebooks", "01-next.ipynb"));
        Assert.Equal(["a < b\n", "[ 1, 2 ]"], kept.Cells[1].Outputs.Select(NotebookText.Plain));
        Assert.Null(new NotebookComparer(kept, Notebook.Load(At("out", "01-next.ipynb"))).FirstDifference());
        Assert.Equal(2, await Nq("run", At("notebooks"), "--in-place", "-p", "layers=1", "--out", At("out")));
    }

    [Fact]
    public void TheDefaultIsTheNotebooksFolderAboveWithoutSolutions()
    {
        var found = NotebookSet.Find([], At("notebooks", "solutions"));
        Assert.Equal(["00-start.ipynb", "01-next.ipynb"], found.Select(Path.GetFileName));
        Assert.Equal(_folder, NotebookSet.Root(At("notebooks", "solutions")));
    }

    private static string Beside(string name) => Path.Combine(Path.GetDirectoryName(typeof(Workbook).Assembly.Location)!, $"{name}.dll");

    private string At(params string[] parts) => Path.Combine([_folder, .. parts]);

    private void Save(string name, params (string, string, string?)[] cells) => NotebookText.Make(name, cells).Save(At("notebooks", name));

    private static Task<int> Nq(params string[] args) => Nq(new StringWriter(), args);

    private static Task<int> Nq(StringWriter error, params string[] args) => Nq(error, new StringWriter(), args);

    private static async Task<int> Nq(StringWriter error, StringWriter output, params string[] args)
    {
        var (oldOut, oldError) = (Console.Out, Console.Error);
        Console.SetError(error);
        Console.SetOut(output);
        try
        {
            return await Program.Main(args);
        }
        finally
        {
            Console.SetOut(oldOut);
            Console.SetError(oldError);
        }
    }
}
