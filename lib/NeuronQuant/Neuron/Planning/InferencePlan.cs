using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>What a plan is asked for.</summary>
/// <param name="Instance">the instance type</param>
/// <param name="TpDegree">NeuronCores that share the model; all of the first chip when null</param>
/// <param name="BatchSize">sequences at once</param>
/// <param name="SequenceLength">tokens of prompt and answer together</param>
/// <param name="Format">of the quantized linear modules; bf16 for none</param>
/// <param name="Granularity">of their scales</param>
/// <param name="Fp8Cache">whether keys and values are kept in fp8</param>
/// <param name="Keep">entries of modules_to_not_convert</param>
public sealed record PlanRequest(
    PlanInstance Instance, int? TpDegree = null, int BatchSize = 1, int SequenceLength = 4096, Format Format = Format.Int8,
    Granularity Granularity = Granularity.PerChannelSymmetric, bool Fp8Cache = false, IReadOnlyList<string>? Keep = null);

/// <summary>
/// Whether a model fits an instance, and how fast it can be at best, from config.json alone.
///   cache    = 2 x layers x kv heads (after sharding) x head size x bytes x batch x sequence
///   a core   = (weights + cache) / tp, of 16 GiB
///   a token  takes at least (weights without the embedding table) / bandwidth of the chips in use: decoding at batch 1 reads each weight once
/// </summary>
/// <remarks>
/// A ceiling, not a prediction: arithmetic, collectives and scratch memory are left out, and the cache's own traffic is given apart, since
/// it grows with the text. Norms, which every core holds whole, are split here like the rest: they are 0.003 % of a 12B model. Device
/// figures: data/neuron. Formula and reference values: the workbook's facts on Inf2, section 5.
/// </remarks>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record InferencePlan
{
    /// <summary>Bytes of a GiB.</summary>
    public const double Gib = 1L << 30;

    /// <summary>
    /// GiB that a core should have left for code, scratch and the runtime. The blog's recorded peaks lie 4.6 to 5.3 GB above its weights,
    /// 2.1 to 2.5 GiB a core with the cache included; less than 2 is tight.
    /// </summary>
    public const double ComfortableGib = 2;

    /// <summary>
    /// GiB of host memory that the compiler should find free. A model of 8B in bf16 leaves 7.4 of 32 GB while it is traced for two cores, and one was
    /// killed while compiling on such a host (nki-samples issue 87, which does not say how many cores).
    /// </summary>
    public const double CompilerGib = 8;

    private InferencePlan()
    {
    }

    /// <summary>What was asked.</summary>
    public required PlanRequest Request { get; init; }

    /// <summary>The model.</summary>
    public required ModelConfig Model { get; init; }

    /// <summary>The weights by kind, bytes.</summary>
    public required WeightBytes Weights { get; init; }

    /// <summary>How the heads are spread.</summary>
    public required HeadSharding Heads { get; init; }

    /// <summary>Numbers in the model.</summary>
    public required long Parameters { get; init; }

    /// <summary>Bytes of the cache when it is full, over all cores.</summary>
    public long CacheBytes => Heads.CacheBytesPerToken(Model, Request.Fp8Cache) * Request.BatchSize * Request.SequenceLength;

    /// <summary>Weights on one core, GiB.</summary>
    public double CoreWeightsGib => Weights.Total / Gib / Heads.TpDegree;

    /// <summary>Cache on one core, GiB.</summary>
    public double CoreCacheGib => CacheBytes / Gib / Heads.TpDegree;

    /// <summary>What a core has left for code, scratch and the runtime, GiB; negative when the model does not fit.</summary>
    public double CoreFreeGib => Request.Instance.GibPerCore - CoreWeightsGib - CoreCacheGib;

    /// <summary>Bytes of weights that a step of decoding reads: all but the embedding table, of which it reads one row a sequence.</summary>
    public long BytesPerStep => Weights.Total - (Model.TieWordEmbeddings ? 0 : 2L * Model.VocabularySize * Model.HiddenSize);

    /// <summary>Least milliseconds of a step of decoding, weights alone.</summary>
    public double MillisecondsPerStep => 1000 * BytesPerStep / Bandwidth;

    /// <summary>The same with a full cache read as well.</summary>
    public double MillisecondsPerStepFullCache => 1000 * (BytesPerStep + CacheBytes) / Bandwidth;

    /// <summary>Most tokens a second, over the whole batch, weights alone.</summary>
    public double TokensPerSecond => Request.BatchSize * 1000 / MillisecondsPerStep;

    /// <summary>
    /// Host memory for NxDI's own quantization, GiB: save_quantized_state_dict loads the model in float32 (4 bytes a number) and holds the
    /// quantized copy beside it.
    /// </summary>
    public double HostGibByNxdi => (4.0 * Parameters + (Request.Format == Format.Bf16 ? 0 : Weights.Total)) / Gib;

    /// <summary>Host memory to load a folder that this library wrote, GiB: two to three times the file, taken as three.</summary>
    public double HostGibFromFolder => 3 * Weights.Total / Gib;

    /// <summary>
    /// Host memory while the graphs are traced, GiB: each submodel is made in float32 with one core's share of the weights, and the one that was
    /// traced before is still held in its own types. neuronx-cc comes on top, see <see cref="CompilerGib"/>.
    /// </summary>
    /// <remarks>nxd v2.28.0, trace/model_builder.py:860 (no meta device while tracing); nxd-inference cd3abf3,
    /// models/model_wrapper.py:1454-1467.</remarks>
    public double HostGibCompiling => (4.0 * Parameters + Weights.Total) / Heads.TpDegree / Gib;

    /// <summary>Bytes a second of the chips in use.</summary>
    private double Bandwidth => Request.Instance.GibPerSecond * Gib * Math.Max(1, (Heads.TpDegree + 1) / 2) / Request.Instance.Chips;

    /// <summary>Makes a plan.</summary>
    /// <exception cref="NeuronException">more cores are asked for than the instance has, or a size is below 1</exception>
    /// <exception cref="QuantizationException">an entry to keep is unsafe or matches nothing</exception>
    public static InferencePlan Create(ModelConfig model, PlanRequest request)
    {
        int tp = request.TpDegree ?? Math.Min(2, request.Instance.Cores);
        foreach (var (name, value) in new[] { ("tp_degree", tp), ("batch_size", request.BatchSize), ("seq_len", request.SequenceLength) })
            if (value < 1) throw new NeuronException(name, $"is {value}; give at least 1.");
        if (tp > request.Instance.Cores)
            throw new NeuronException("tp_degree",
                $"is {tp}, but {request.Instance.Name} has {request.Instance.Cores} NeuronCores. Choose at most that, or a larger instance.");
        if (request.Format == Format.Bf16 && request.Keep is { Count: > 0 })
            throw new NeuronException("modules_to_not_convert",
                "keeps modules in bf16, but the whole model is planned in bf16. Drop the list, or choose int8.");
        var plan = request.Format == Format.Bf16 ? null : QuantizationPlan.Create(QuantizationPlan.LinearModules(model), model.TieWordEmbeddings,
            request.Format, request.Granularity, request.Keep ?? [], model.HasQueryKeyValueBias);
        return new InferencePlan
        {
            Request = request with { TpDegree = tp },
            Model = model,
            Weights = WeightBytes.Of(model, plan),
            Heads = HeadSharding.Of(model, tp),
            Parameters = ExpectedTensors.Of(model).Sum(tensor => tensor.Shape.Aggregate(1L, (product, size) => product * size)),
        };
    }

    /// <summary>What speaks against the plan, worst first.</summary>
    public IReadOnlyList<ConfigFinding> Findings => [.. PlanFindings.Of(this)];

    /// <summary>The plan as rows.</summary>
    public DataFrame ToDataFrame() => new FrameRows($"{this}", "what", new Column("value", "0.00"), "unit")
        .Row("weights", Weights.Gigabytes, "GB").Row("weights", Weights.Total / Gib, "GiB")
        .Row("cache of one token", Heads.CacheBytesPerToken(Model, Request.Fp8Cache) / 1024.0, "KiB").Row("cache, full", CacheBytes / Gib, "GiB")
        .Row("weights on a core", CoreWeightsGib, "GiB").Row("cache on a core", CoreCacheGib, "GiB")
        .Row("left on a core", CoreFreeGib, FormattableString.Invariant($"GiB of {Request.Instance.GibPerCore:0}"))
        .Row("host memory, loading our folder", HostGibFromFolder, FormattableString.Invariant($"GiB of {Request.Instance.HostGib:0}"))
        .Row("host memory, compiling, at least", HostGibCompiling, FormattableString.Invariant($"GiB of {Request.Instance.HostGib:0}"))
        .Row("host memory, quantizing by NxDI", HostGibByNxdi, FormattableString.Invariant($"GiB of {Request.Instance.HostGib:0}"))
        .Row("a step of decoding, at least", MillisecondsPerStep, "ms").Row("the same, cache full", MillisecondsPerStepFullCache, "ms")
        .Row("tokens, at most", TokensPerSecond, "per second");

    /// <summary>The rows and the findings.</summary>
    public string ToHtml() => ToDataFrame().ToHtml() + string.Concat(
        Findings.Select(finding => $"<p>{System.Net.WebUtility.HtmlEncode($"{finding}")}</p>"));

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant(
        $"{Request.Instance.Name}, tp {Heads.TpDegree}, batch {Request.BatchSize}, sequence {Request.SequenceLength}, ")
        + $"weights {Request.Format.NxdiName()}, cache {(Request.Fp8Cache ? "fp8" : "bf16")}";
}
