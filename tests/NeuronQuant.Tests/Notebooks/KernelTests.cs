using System.Text.Json.Nodes;
using NeuronQuant.CommandLine.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>The real .NET Interactive kernel as a front end sees it: Jupyter's client talks to it, and nbformat judges the files.</summary>
[Collection("kernel")]
public sealed class KernelTests(JupyterForTests jupyter) : IClassFixture<JupyterForTests>
{
    [Fact]
    public async Task The_format_of_every_notebook_is_valid()
    {
        string[] paths = [.. Directory.EnumerateFiles(Repository.PathOf("notebooks"), "*.ipynb", SearchOption.AllDirectories)];
        Assert.True(paths.Length >= 20, "the lessons and their solutions");
        Assert.Equal($"{paths.Length} valid\n", await jupyter.Script("kernel_notebooks.py", TimeSpan.FromMinutes(1), ["validate", .. paths]));
    }

    [Fact]
    public async Task A_notebook_that_calls_torch_gives_there_what_it_gives_to_nq_run()
    {
        _ = JupyterForTests.Python;
        jupyter.Install();
        string path = Repository.PathOf("notebooks", "02-quantize-sixteen-weights.ipynb"), folder = Directory.CreateDirectory(Path.Combine(jupyter.Folder, "executed")).FullName;
        await jupyter.Script("kernel_notebooks.py", TimeSpan.FromMinutes(3), "execute", folder, path);
        Assert.Null(new NotebookComparer(Notebook.Load(path), Notebook.Load(Path.Combine(folder, Path.GetFileName(path))), 1e-4).FirstDifference());
        await jupyter.NoEngineIsLeft();
    }

    [Fact]
    public async Task An_interrupt_ends_a_call_of_the_library_and_keeps_the_variables()
    {
        _ = JupyterForTests.Python;
        jupyter.Install();
        string said = await jupyter.Script("kernel_interrupt.py", TimeSpan.FromMinutes(3), typeof(Workbook).Assembly.Location);
        var seen = JsonNode.Parse(said.Split('\n').Single(line => line.StartsWith("{\"errors\"", StringComparison.Ordinal)))!; // the kernel's own log stands around it
        for (int time = 0; time < 3; time++)
        {
            Assert.Equal("OperationCanceledException", (string)seen["errors"]![time]!);
            Assert.InRange((double)seen["seconds"]![time]!, 0, 5); // from the interrupt to the reply, on a busy machine
        }
        Assert.Equal("42", (string)seen["kept"]!);
        Assert.Equal("printed\n", (string)seen["console"]!);
        await jupyter.NoEngineIsLeft();
    }
}
