using System.Text.Json;
using NeuronQuant.Checkpoints;
using NeuronQuant.Evaluation;

namespace NeuronQuant.Neuron;

/// <summary>What was run: everything that a figure of the run depends on.</summary>
/// <param name="Method">the name under which it is compared, such as "all int8"; a recorded row of that name stands beside it</param>
/// <param name="Model">name of the model's folder</param>
/// <param name="BlogsModel">whether its shapes are those of the recorded figures; only then are they compared</param>
/// <param name="StandIn">whether something stood in for the device: then nothing here is a measurement</param>
/// <param name="Sdk">release of the Neuron SDK</param>
/// <param name="Instance">instance type; null when not said</param>
/// <param name="TpDegree">NeuronCores that share the model</param>
/// <param name="BatchSize">sequences at once</param>
/// <param name="SequenceLength">tokens of prompt and answer together</param>
/// <param name="Graph">key of the compiled graph, see <see cref="CompileCache"/></param>
/// <param name="Dtype">int8, f8e4m3, f8e5m2, or bfloat16 when nothing is quantized</param>
/// <param name="ModulesToNotConvert">what stays in bf16</param>
public sealed record DeviceRunSetup(string Method, string Model, bool BlogsModel, bool StandIn, string Sdk, string? Instance, int TpDegree,
    int BatchSize,
    int SequenceLength, string Graph, string Dtype, IReadOnlyList<string> ModulesToNotConvert);

/// <summary>Latency of a run, milliseconds.</summary>
/// <param name="Runs">timed runs</param>
/// <param name="FirstTokenP50">median to the first token</param>
/// <param name="TokenP50">median for a token</param>
/// <param name="TokenP90">90 %</param>
/// <param name="TokenP99">99 %</param>
/// <param name="TokensPerSecond">new tokens, over the batch</param>
public sealed record DeviceLatency(int Runs, double? FirstTokenP50, double? TokenP50, double? TokenP90, double? TokenP99, double? TokensPerSecond);

/// <summary>Memory after the runs, bytes, of all Neuron runtimes on the machine: keep others off it.</summary>
/// <param name="Device">on all devices</param>
/// <param name="Host">on the host</param>
/// <param name="Cores">by core, all kinds together</param>
public sealed record DeviceMemory(long Device, long Host, IReadOnlyDictionary<string, long> Cores);

/// <summary>A graded sample.</summary>
/// <param name="Task">gsm8k, demo, …</param>
/// <param name="Metric">strict-match, …</param>
/// <param name="Right">right answers</param>
/// <param name="Total">questions</param>
public sealed record DeviceScore(string Task, string Metric, int Right, int Total)
{
    /// <summary>The share in percent with its interval.</summary>
    public Score Score => new(Metric, "", Right, Total);
}

/// <summary>
/// What a run on a device measured, as one JSON file: the form in which a result leaves the Inf2 host and is laid beside the recorded
/// figures by <see cref="MeasuredBesideRecorded"/>. A part that was not measured is null.
/// </summary>
/// <remarks>
/// snake_case; latencies in milliseconds, memory in bytes, no path, host name or time. Memory is read by neuron-monitor while the model is
/// loaded, after the benchmark; that it is the peak is not proven, since the runtime could free scratch memory in between.
/// </remarks>
/// <param name="Setup">what was run</param>
/// <param name="WeightBytes">bytes of the tensors that were loaded</param>
/// <param name="LatencyMs">latency</param>
/// <param name="MemoryBytes">memory</param>
/// <param name="Score">a graded sample</param>
public sealed record DeviceRun(DeviceRunSetup Setup, long? WeightBytes, DeviceLatency? LatencyMs, DeviceMemory? MemoryBytes, DeviceScore? Score)
{
    /// <summary>How the files are called: device-run.json, device-run-selective.json, …</summary>
    public const string FilePattern = "device-run*.json";

    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
        IgnoreReadOnlyProperties = true,
    };

    /// <summary>Gathers what the steps of a run gave.</summary>
    /// <param name="device">the run; it must have a session</param>
    /// <param name="method">the name under which it is compared</param>
    /// <param name="benchmark">latency, when it was measured</param>
    /// <param name="memory">memory, when it was read</param>
    /// <param name="graded">a graded sample, when there is one</param>
    public static DeviceRun Of(NeuronDevice device, string method, BenchmarkReport? benchmark = null, MemoryReport? memory = null,
        EvaluationResult? graded = null)
    {
        var session = device.Session ?? throw new NeuronException("device", "nothing was run, so there is nothing to record. Open a device first.");
        var (setup, config) = (session.Setup, session.Setup.Config);
        using var weights = Checkpoint.OpenStored(config is { Quantized: true, QuantizedCheckpointsPath: { } folder } ? folder : session.ModelPath);
        return new DeviceRun(
            new DeviceRunSetup(method, Path.GetFileName(Path.TrimEndingDirectorySeparator(session.ModelPath)),
                PlanRecorded.IsBlogsModel(ModelConfig.Read(Path.Combine(session.ModelPath, "config.json"))), device.IsStandIn, $"{setup.Sdk}",
                    setup.Instance,
                config.TpDegree, config.BatchSize, config.SequenceLength, CompileCache.KeyOf(setup, session.ModelPath),
                config.Quantized ? config.QuantizationDtype : "bfloat16", config.ModulesToNotConvert),
            weights.ByteCount,
            benchmark is null ? null : new DeviceLatency(benchmark.Runs, benchmark.TimeToFirstTokenMs, benchmark.TimePerTokenMs,
                benchmark.TokenGenerationModel?.LatencyMsP90, benchmark.TokenGenerationModel?.LatencyMsP99, benchmark.TokensPerSecond),
            memory is null ? null : new DeviceMemory(memory.DeviceBytes, memory.HostBytes, memory.Cores),
            graded is null ? null : new DeviceScore(graded.Task, graded.Main.Metric, graded.Main.Right, graded.Main.Total));
    }

    /// <summary>Writes the file, whole or not at all.</summary>
    public void Write(string path)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        File.WriteAllText($"{path}.partial", JsonSerializer.Serialize(this, Options) + "\n");
        File.Move($"{path}.partial", path, overwrite: true);
    }

    /// <summary>Reads a file.</summary>
    /// <exception cref="InvalidDataException">the file is not such a record</exception>
    public static DeviceRun Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<DeviceRun>(File.ReadAllText(path), Options) ?? throw new JsonException("it is null");
        }
        catch (JsonException error)
        {
            throw new InvalidDataException(
                $"{Path.GetFileName(path)} is not a record of a device run ({error.Message}); notebook 08 writes one.", error);
        }
    }

    /// <summary>Every record of a folder by file name; none when there is no such folder.</summary>
    public static IReadOnlyList<DeviceRun> ReadAll(string folder) =>
        Directory.Exists(folder) ? [.. Directory.GetFiles(folder, FilePattern).Order(StringComparer.Ordinal).Select(Read)] : [];
}
