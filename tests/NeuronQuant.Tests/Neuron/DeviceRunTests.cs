using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>The record of a run, and what may be compared with a recorded figure and what may not.</summary>
public sealed class DeviceRunTests : IDisposable
{
    private const int Recorded = 2, Measured = 3, Difference = 4, Remark = 5;
    private static readonly RecordedFigures Blog = RecordedFigures.Blog();
    private static readonly DeviceRun Run = new(
        new DeviceRunSetup("all int8", "nemo", true, false, "2.28.1", "inf2.8xlarge", 2, 1, 4096, "abc", "int8", ["lm_head"]), 12_930_000_000,
        new DeviceLatency(20, 300, 15, 16, 17, 66.7), new DeviceMemory(17_575_000_000, 1_000, new Dictionary<string, long> { ["0"] = 9_000_000_000 }),
        new DeviceScore("gsm8k", "strict-match", 257, 1319));

    private readonly string _folder = Directory.CreateTempSubdirectory("neuronquant-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_record_is_read_back_as_it_was_written()
    {
        Run.Write(Path.Combine(_folder, "sub", "device-run.json"));
        var read = Assert.Single(DeviceRun.ReadAll(Path.Combine(_folder, "sub")));
        Assert.Equivalent(Run, read, strict: true);
        Assert.Empty(DeviceRun.ReadAll(Path.Combine(_folder, "absent")));
        string text = File.ReadAllText(Path.Combine(_folder, "sub", "device-run.json"));
        Assert.Contains("\"token_p50\": 15", text, StringComparison.Ordinal);
        Assert.DoesNotContain(_folder, text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{\"setup\": null}")]
    [InlineData("{\"weight_bytes\": 1}")]
    public void A_file_that_is_no_record_is_named(string text)
    {
        string path = Path.Combine(_folder, "device-run.json");
        File.WriteAllText(path, text);
        Assert.Contains("device-run.json", Assert.Throws<InvalidDataException>(() => DeviceRun.Read(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_of_the_recorded_model_is_compared()
    {
        var table = Rows([Run]);
        var rows = table.Where(row => row[0] is "all int8").ToDictionary(row => (string)row[1]!);
        Assert.Equal(5, rows.Count);
        Assert.Equal((18.5, 17.575), ((double)rows["device memory GB"][Recorded]!, (double)rows["device memory GB"][Measured]!));
        Assert.Equal(-5.0, (double)rows["device memory GB"][Difference]!, 9); // 17.575 / 18.5 - 1
        Assert.Equal(100.0 * 257 / 1319, (double)rows["GSM8K %"][Measured]!, 9);
        Assert.StartsWith("1319 questions, 95 % interval 17.4 to", (string)rows["GSM8K %"][Remark]!, StringComparison.Ordinal);
        Assert.Equal((null, 15.0, null), (rows["ms per token"][Recorded], (double)rows["ms per token"][Measured]!, rows["ms per token"][Difference]));
        Assert.StartsWith(MeasuredBesideRecorded.NotRecorded, (string)rows["ms per token"][Remark]!, StringComparison.Ordinal);
        Assert.All(table.Where(row => row[0] is not "all int8"), row => Assert.Null(row[Measured]));
    }

    [Fact]
    public void A_stand_in_another_model_or_another_task_is_not_compared()
    {
        foreach (var run in new[] { Run with { Setup = Run.Setup with { StandIn = true } },
            Run with { Setup = Run.Setup with { BlogsModel = false } } })
        {
            var table = Rows([run]);
            Assert.All(table, row => Assert.Null(row[Difference]));
            Assert.Equal(5, table.Count(row => row[0] is "all int8 (nemo)" && ((string)row[Remark]!).Contains("no", StringComparison.Ordinal)));
        }
        var demo = Rows([Run with { Score = new DeviceScore("demo", "strict-match", 9, 10) }]);
        Assert.Null(demo.Single(row => row[0] is "all int8" && row[1] is "GSM8K %")[Measured]);
    }

    [Fact]
    public void Without_a_run_every_row_says_so()
    {
        var table = Rows([]);
        Assert.All(table, row => Assert.Null(row[Measured]));
        Assert.All(table, row => Assert.Contains(MeasuredBesideRecorded.NotMeasured, (string)row[Remark]!, StringComparison.Ordinal));
        Assert.Equal(11, table.Count(row => row[Recorded] is double)); // five scores, three sizes, three peaks
        Assert.Contains(table, row => row[1] is "ms per token");
    }

    private static object?[][] Rows(IReadOnlyList<DeviceRun> runs) =>
        [.. MeasuredBesideRecorded.ToDataFrame(Blog, runs).Rows.Select(row => row.ToArray())];
}
