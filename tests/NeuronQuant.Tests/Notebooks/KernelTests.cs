using System.Text.Json.Nodes;
using NeuronQuant.CommandLine.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>The kernel as a front end sees it: nbclient and Jupyter's client talk to it, and nbformat judges the files.</summary>
[Collection("kernel")]
public sealed class KernelTests(JupyterForTests jupyter) : IClassFixture<JupyterForTests>
{
    [Fact]
    public async Task Every_notebook_gives_through_the_kernel_what_it_gives_to_nq_run()
    {
        Install();
        string[] paths = [.. Directory.EnumerateFiles(Repository.PathOf("notebooks"), "*.ipynb").Order(StringComparer.Ordinal)];
        string folder = Directory.CreateDirectory(Path.Combine(jupyter.Folder, "executed")).FullName;
        Assert.Equal($"{paths.Length} executed\n", await jupyter.Script("kernel_notebooks.py", TimeSpan.FromMinutes(8), ["execute", folder, .. paths]));
        // The committed outputs are those of nq run: CommittedNotebookTests. The same tolerance as there, for sums in another order.
        Assert.All(paths, path => Assert.Null(new NotebookComparer(Notebook.Load(path), Notebook.Load(Path.Combine(folder, Path.GetFileName(path))), 1e-4).FirstDifference()));
    }

    [Fact]
    public async Task The_format_of_every_notebook_is_valid()
    {
        string[] paths = [.. Directory.EnumerateFiles(Repository.PathOf("notebooks"), "*.ipynb", SearchOption.AllDirectories)];
        Assert.True(paths.Length >= 20, "the lessons and their solutions");
        Assert.Equal($"{paths.Length} valid\n", await jupyter.Script("kernel_notebooks.py", TimeSpan.FromMinutes(1), ["validate", .. paths]));
    }

    [Fact]
    public async Task A_session_over_the_wire()
    {
        Install();
        var seen = JsonNode.Parse(await jupyter.Script("kernel_session.py", TimeSpan.FromMinutes(4), ".net-csharp"))!;
        Assert.Multiple(() => Cells(seen["cells"]!), () => Interrupts(seen["interrupts"]!), () => Endings(seen["endings"]!));
        int[] pids = [.. seen["pids"]!.AsArray().Select(pid => (int)pid!)];
        Assert.Equal(9, pids.Distinct().Count()); // four interrupted, one that died, one before the restart and one after, two ended in a cell
        await jupyter.NoEngineIsLeft();
    }

    [Fact]
    public async Task It_runs_on_the_Python_of_a_virtual_environment()
    {
        string environment = Path.Combine(jupyter.Folder, "environment");
        Assert.SkipUnless(JupyterForTests.Succeeds(JupyterForTests.Python, "-m", "venv", "--without-pip", "--system-site-packages", environment), "this Python makes no virtual environments");
        jupyter.Install("in-environment", environment);
        var spec = JsonNode.Parse(File.ReadAllText(Path.Combine(jupyter.Folder, "share", "jupyter", "kernels", "in-environment", "kernel.json")))!;
        Assert.Equal(Path.Combine(environment, "bin"), Path.GetDirectoryName((string)spec["argv"]![0]!)); // the link, not what it points to
        var notebook = NotebookText.Of("Console.WriteLine(\"here\");\n1 + 1");
        string file = Path.Combine(jupyter.Folder, "small.ipynb"), folder = Directory.CreateDirectory(Path.Combine(jupyter.Folder, "small")).FullName;
        File.WriteAllText(file, notebook.ToJson().Replace("\".net-csharp\"", "\"in-environment\"", StringComparison.Ordinal));
        await jupyter.Script("kernel_notebooks.py", TimeSpan.FromMinutes(1), "execute", folder, file);
        var executed = Notebook.Load(Path.Combine(folder, "small.ipynb")).Cells.Single();
        Assert.Equal(["here\n", "2"], executed.Outputs.Select(NotebookText.Plain));
    }

    private static void Cells(JsonNode seen)
    {
        Assert.Equal("execute_result: 42", Show(seen["first"]!));
        Assert.Equal((1, "ok"), ((int)seen["first"]!["count"]!, (string)seen["first"]!["status"]!));
        Assert.Equal("stream stdout: out\n|stream stderr: err\n", Show(seen["streams"]!));
        Assert.Equal("display_data: a|display_data: b|update_display_data: c", Show(seen["updates"]!));
        string[] places = [.. seen["updates"]!["outputs"]!.AsArray().Append(seen["again"]!["outputs"]![0]).Select(output => (string)output!["display"]!)];
        Assert.Equal(places[0], places[2]);
        Assert.Equal(3, places.Distinct().Count()); // another cell's display is another
        Assert.Equal("error", (string)seen["wrong"]!["status"]!);
        Assert.StartsWith("error CompilationError: CS1525", Show(seen["wrong"]!), StringComparison.Ordinal);
        Assert.Equal("error InvalidOperationException: no", Show(seen["thrown"]!));
        Assert.Equal("stream stdout: no line end", Show(seen["native"]!));
        Assert.Equal("execute_result: <null>", Show(seen["asked"]!));
        Assert.Equal("execute_result: 40", Show(seen["kept"]!));
        // Positions count characters, although one of them takes two units in C#.
        Assert.Equal("[[\"CompareTo\"],18,26]", seen["completed"]!.ToJsonString());
        Assert.StartsWith("class Figure\n\nA picture of numbers", (string)seen["inspected"]!, StringComparison.Ordinal);
        Assert.Null(seen["nothing"]);
        Assert.Equal("incomplete", (string)seen["console"]!["status"]!);
    }

    private static void Interrupts(JsonNode seen)
    {
        Assert.EndsWith("error Cancelled: The run was cancelled.", Show(seen["library"]!), StringComparison.Ordinal);
        Assert.Equal("execute_result: 40", Show(seen["kept"]!)); // a call of the library stops by itself, and the session lives
        foreach (string name in new[] { "library", "loop", "sleep", "await", "flood" })
        {
            Assert.Equal("error", (string)seen[name]!["status"]!);
            // Two seconds are promised; half a second more is for a machine that runs other tests beside.
            Assert.True((double)seen[name]!["seconds"]! < 2.5, $"{name}: {seen[name]!["seconds"]} s from the interrupt to the reply");
        }
        foreach (string name in new[] { "loop", "sleep", "await", "flood" })
        {
            Assert.Contains("The cell did not stop, so the session was ended.", Show(seen[name]!), StringComparison.Ordinal);
            Assert.Equal("execute_result: 2", Show(seen[name]!["after"]!));
        }
        Assert.Equal("execute_result: 4", Show(seen["idle"]!));
    }

    private static void Endings(JsonNode seen)
    {
        Assert.StartsWith("error EngineEnded: The engine ended with code 3.|stream stderr: The engine ended while the cell ran", Show(seen["died"]!), StringComparison.Ordinal);
        Assert.Equal("execute_result: 6", Show(seen["alive"]!));
        Assert.StartsWith("error CompilationError: CS0103", Show(seen["restarted"]!), StringComparison.Ordinal); // nothing is left of the session before
    }

    private static string Show(JsonNode cell) => string.Join('|', cell["outputs"]!.AsArray().Select(output => $"{output!["type"]}{(output["name"] is { } name ? $" {name}" : "")}: {output["text"]}"));

    private void Install()
    {
        if (!Directory.Exists(Path.Combine(jupyter.Folder, "share", "jupyter", "kernels", ".net-csharp"))) jupyter.Install();
    }
}
