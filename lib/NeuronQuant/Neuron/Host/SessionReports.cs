using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.Neuron;

/// <summary>What the Python side found on its machine.</summary>
/// <param name="Python">its version</param>
/// <param name="Executable">the interpreter</param>
/// <param name="Sdk">the release that the installed NxD Inference belongs to; null when it is not installed or not of a known release</param>
/// <param name="HasNxdi">whether NxD Inference can be imported</param>
/// <param name="Packages">versions; null for one that is not installed</param>
/// <param name="Devices">Neuron devices</param>
/// <param name="Variables">those that NxD Inference reads, where they are set</param>
public sealed record NeuronEnvironment(string Python, string Executable, string? Sdk, bool HasNxdi, IReadOnlyDictionary<string, string?> Packages,
    IReadOnlyList<string> Devices, IReadOnlyDictionary<string, string>? Variables = null)
{
    /// <summary>The packages and devices as rows.</summary>
    public DataFrame ToDataFrame()
    {
        var table = new FrameRows($"Python {Python}: SDK {Sdk ?? "unknown"}, {Devices.Count} Neuron devices", "package", "version");
        foreach (var (package, version) in Packages) table.Row(package, version ?? "not installed");
        return table;
    }
}

/// <summary>Latencies of one part of the model, milliseconds, and NxDI's own throughput figure.</summary>
/// <param name="LatencyMsP50">median</param>
/// <param name="LatencyMsP90">90 %</param>
/// <param name="LatencyMsP95">95 %</param>
/// <param name="LatencyMsP99">99 %</param>
/// <param name="LatencyMsP100">slowest</param>
/// <param name="LatencyMsAvg">mean</param>
/// <param name="Throughput">tokens a second as NxDI counts them: for e2e_model the prompt's tokens are in it</param>
public sealed record BenchmarkPart(double LatencyMsP50, double LatencyMsP90, double LatencyMsP95, double LatencyMsP99, double LatencyMsP100,
    double LatencyMsAvg, double Throughput);

/// <summary>
/// benchmark_sampling's report. Time to the first token is the median of context encoding, time per token that of token generation; tokens a
/// second follow from the latter, since NxDI's end-to-end throughput counts prompt tokens.
/// </summary>
/// <remarks>Source: nxd-inference utils/benchmark.py:415-430 and :479-495 at SDK 2.28.</remarks>
/// <param name="Runs">timed runs, after one to warm up</param>
/// <param name="BatchSize">sequences at once</param>
/// <param name="E2eModel">a whole generation</param>
/// <param name="ContextEncodingModel">the prompt</param>
/// <param name="TokenGenerationModel">one token</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record BenchmarkReport(int Runs, int BatchSize, BenchmarkPart? E2eModel, BenchmarkPart? ContextEncodingModel,
    BenchmarkPart? TokenGenerationModel)
{
    /// <summary>Median milliseconds to the first token.</summary>
    public double? TimeToFirstTokenMs => ContextEncodingModel?.LatencyMsP50;

    /// <summary>Median milliseconds for a token.</summary>
    public double? TimePerTokenMs => TokenGenerationModel?.LatencyMsP50;

    /// <summary>New tokens a second, over the batch.</summary>
    public double? TokensPerSecond => 1000.0 * BatchSize / TimePerTokenMs;

    /// <summary>The parts as rows.</summary>
    public DataFrame ToDataFrame() => Frames.From(FormattableString.Invariant($"Latency, ms, {Runs} runs, batch {BatchSize}"),
        new[] { ("end to end", E2eModel), ("prompt", ContextEncodingModel), ("token", TokenGenerationModel) }.Where(part => part.Item2 is not null),
        ("part", part => part.Item1), ("p50", part => part.Item2!.LatencyMsP50), ("p90", part => part.Item2!.LatencyMsP90),
        ("p99", part => part.Item2!.LatencyMsP99), ("mean", part => part.Item2!.LatencyMsAvg));

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The table as text.</summary>
    public override string ToString() => ToDataFrame().ToText();
}

/// <summary>Memory of one Neuron runtime, bytes.</summary>
/// <param name="Pid">the process</param>
/// <param name="DeviceBytes">on all devices: the headline</param>
/// <param name="HostBytes">on the host</param>
/// <param name="Cores">by core and kind; weights are expected under tensors</param>
public sealed record NeuronMemory(int? Pid, long DeviceBytes, long HostBytes, IReadOnlyDictionary<string, IReadOnlyDictionary<string, double>> Cores);

/// <summary>Memory of every Neuron runtime on the machine.</summary>
/// <param name="Runtimes">one for each process that uses a device</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record MemoryReport(IReadOnlyList<NeuronMemory> Runtimes)
{
    /// <summary>Bytes on all devices.</summary>
    public long DeviceBytes => Runtimes.Sum(runtime => runtime.DeviceBytes);

    /// <summary>Bytes on the host.</summary>
    public long HostBytes => Runtimes.Sum(runtime => runtime.HostBytes);

    /// <summary>Bytes by core, all kinds together.</summary>
    public IReadOnlyDictionary<string, long> Cores => Runtimes.SelectMany(runtime => runtime.Cores).GroupBy(core => core.Key)
        .OrderBy(core => core.Key, StringComparer.Ordinal)
        .ToDictionary(core => core.Key, core => (long)core.Sum(kinds => kinds.Value.Values.Sum()));

    /// <summary>A row for each core and kind of memory that is not empty, and the totals.</summary>
    public DataFrame ToDataFrame()
    {
        var table = new FrameRows("Memory by neuron-monitor", "where", "kind", new Column("GiB", "0.000"));
        foreach (var (core, kinds) in Runtimes.SelectMany(runtime => runtime.Cores))
            foreach (var (kind, bytes) in kinds.Where(kind => kind.Value > 0)) table.Row($"core {core}", kind, bytes / InferencePlan.Gib);
        return table.Row("devices", "all", DeviceBytes / InferencePlan.Gib).Row("host", "all", HostBytes / InferencePlan.Gib);
    }

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The table as text.</summary>
    public override string ToString() => ToDataFrame().ToText();
}

/// <summary>The folder compared with what NxD itself would have written, byte by byte.</summary>
/// <param name="Tensors">tensors compared</param>
/// <param name="Equal">whether nothing differs</param>
/// <param name="Differences">each tensor that differs, and by how much</param>
public sealed record ConformanceReport(int Tensors, bool Equal, IReadOnlyList<ConformanceDifference> Differences);

/// <summary>One tensor that differs.</summary>
/// <param name="Tensor">its name</param>
/// <param name="Difference">how</param>
public sealed record ConformanceDifference(string Tensor, string Difference);

/// <summary>How far two models agree token by token.</summary>
/// <param name="Rate">share of tokens that are equal; null when there were none</param>
/// <param name="Rows">one for each prompt</param>
public sealed record AgreementReport(double? Rate, IReadOnlyList<AgreementRow> Rows);

/// <summary>One prompt's agreement.</summary>
/// <param name="Tokens">tokens compared</param>
/// <param name="Agreeing">tokens that are equal</param>
/// <param name="FirstDifference">place of the first that is not; null when all are</param>
public sealed record AgreementRow(int Tokens, int Agreeing, int? FirstDifference);

/// <summary>Reads the bridge's answers: snake_case, and an answer of another shape names the call.</summary>
internal static class SessionAnswers
{
    private static readonly JsonSerializerOptions Options = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static T Read<T>(this JsonNode answer, string step)
    {
        try
        {
            return answer.Deserialize<T>(Options) ?? throw new JsonException("it is null");
        }
        catch (JsonException error)
        {
            throw new NeuronRunException(NeuronFailure.CallFailed, step, $"the bridge's answer is not understood ({error.Message}).",
                "Library and neuron_bridge are of different versions: build again.");
        }
    }
}
