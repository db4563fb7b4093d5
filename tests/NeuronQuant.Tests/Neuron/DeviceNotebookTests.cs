using System.Text;
using NeuronQuant.Checkpoints;
using NeuronQuant.CommandLine.Notebooks;
using NeuronQuant.Neuron;
using NeuronQuant.Tests.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>
/// Notebook 08 as the job that it is on a host, over the child process, with the fake in place of NxD Inference and its device. The fake
/// answers every question with 7 and reports the number of runs as every latency: what is asserted here is that, and nothing about a chip.
/// </summary>
[Collection("notebooks")]
public sealed class DeviceNotebookTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("neuronquant-").FullName;

    public DeviceNotebookTests()
    {
        Directory.CreateDirectory(At("gsm8k"));
        File.WriteAllText(At("gsm8k/train.jsonl"), Problems(Enumerable.Range(1, 5)));
        File.WriteAllText(At("gsm8k/test.jsonl"), Problems([4, 3, 4, 9, 4, 2, 1, 8, 4])); // n and 3: four of nine are 7, three of the first six
        // a path of our own, by which our children are known
        if (!OperatingSystem.IsWindows()) Directory.CreateSymbolicLink(At("stand-in"), PythonForTests.Fake);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task It_loads_our_folder_without_quantizing_compiles_measures_grades_and_records()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the tool of the fake is a shell script");
        var result = await Run(PythonForTests.Interpreter());
        Assert.True(result.Failure is null, $"{result.Failure}");
        string[] outputs = [.. result.Executed.Cells.Where(cell => cell.IsCode).SelectMany(cell => cell.Outputs).Select(NotebookText.Plain)];

        Assert.Contains("conformance: Conformance on a toy: passed, with a stand-in: no statement about a device", outputs);
        Assert.Contains("compile: compiled", outputs);
        Assert.Contains("load: loaded without quantizing; it says \"The answer is 7.\"", outputs);
        string benchmark = outputs.Single(text => text.StartsWith("benchmark: Latency, ms, 4 runs, batch 2", StringComparison.Ordinal));
        Assert.Equal(["end to end", "prompt", "token"], benchmark.Split('\n')[3..6].Select(line => line.Split("  ")[0]));
        const string score = "strict-match 50.0 % (3 of 6, 95 % interval 18.8 to 81.2)";
        Assert.StartsWith("grade: gsm8k, ", outputs.Single(text => text.Contains(score, StringComparison.Ordinal)), StringComparison.Ordinal);
        string memory = outputs.Single(text => text.StartsWith("memory: ", StringComparison.Ordinal));
        Assert.Equal(2, memory.Split('\n').Count(line => line.Contains("tensors", StringComparison.Ordinal)));
        string compared = outputs.Single(text => text.Contains("recorded by others", StringComparison.Ordinal));
        Assert.Equal(5, compared.Split('\n').Count(line => line.Contains("a stand-in, no measurement", StringComparison.Ordinal)));

        var record = Assert.Single(DeviceRun.ReadAll(At("out")));
        using var written = Checkpoint.OpenStored(At("out/quantized"));
        Assert.Equal((true, false, "all int8", 2, 2048),
            (record.Setup.StandIn, record.Setup.BlogsModel, record.Setup.Method, record.Setup.BatchSize, record.Setup.SequenceLength));
        Assert.Equal((written.ByteCount, 14_000_000_000, 4.0, 500.0),
            (record.WeightBytes, record.MemoryBytes!.Device, record.LatencyMs!.TokenP50, record.LatencyMs.TokensPerSecond));
        Assert.Equal(new DeviceScore("gsm8k", "strict-match", 3, 6), record.Score);
        Assert.Contains("tracing", File.ReadAllText(At("out/python.log")), StringComparison.Ordinal);
        Assert.Equal(2, Directory.GetDirectories(At("out/graphs")).Length); // the toy's and the model's, none half-made
        Assert.All(Directory.GetDirectories(At("out/graphs")), folder => Assert.DoesNotContain(".partial", folder, StringComparison.Ordinal));
        AssertNoChildIsLeft();
    }

    [Theory]
    [InlineData("compile:ncc", "NCC_IXCG856")]
    [InlineData("load:oom", "nq plan")]
    [InlineData("benchmark:exit", "exit code 9")]
    public async Task A_step_that_fails_stops_it_with_the_cause_and_leaves_nothing_running(string trouble, string words)
    {
        var result = await Run(PythonForTests.InterpreterWith(trouble, At("python3")));
        Assert.NotNull(result.Failure);
        Assert.Equal(nameof(NeuronRunException), result.Failure.Error.Name);
        Assert.Contains(words, result.Failure.Error.Message, StringComparison.Ordinal);
        Assert.Empty(DeviceRun.ReadAll(At("out")));
        string graphs = At("out/graphs");
        if (Directory.Exists(graphs)) Assert.All(Directory.GetDirectories(graphs), folder =>
            Assert.DoesNotContain(".partial", folder, StringComparison.Ordinal));
        AssertNoChildIsLeft();
    }

    private Task<NotebookResult> Run(string python)
    {
        string[] sizes = ["batch=2", "sequence=2048", "answer=256", "questions=6", "runs=4"];
        var values = Parameters.Parse([$"output={At("out")}", $"python={python}", $"standIn={At("stand-in")}", $"gsm8k={At("gsm8k")}", .. sizes]);
        var prepared = NotebookRunner.Prepare(Notebook.Load(Repository.PathOf("notebooks", "08-inf2.ipynb")), values);
        return NotebookRunner.RunAsync(prepared, Repository.PathOf("notebooks"), TimeSpan.FromMinutes(2),
            cancellation: TestContext.Current.CancellationToken);
    }

    // Python and all that it starts carry the stand-in's path in their environment.
    private void AssertNoChildIsLeft()
    {
        if (!Directory.Exists("/proc/self")) return;
        Assert.DoesNotContain(Directory.GetDirectories("/proc").Where(folder =>
            int.TryParse(Path.GetFileName(folder), out int id) && id != Environment.ProcessId), IsOurs);
    }

    private bool IsOurs(string process)
    {
        try
        {
            return Encoding.UTF8.GetString(File.ReadAllBytes($"{process}/environ")).Contains(At("stand-in"), StringComparison.Ordinal);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false; // it ended, or is somebody else's
        }
    }

    private string At(string name) => Path.Combine(_folder, name);

    private static string Problems(IEnumerable<int> numbers) => string.Concat(numbers.Select(n =>
        $"{{\"question\": \"A box holds {n} pens and 3 more are added. How many pens are there?\", \"answer\": \"{n} + 3 = {n + 3}\\n#### {n + 3}\"}}\n"));
}
