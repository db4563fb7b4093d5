using System.Text.Json.Nodes;
using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Evaluation;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>What the release's own modules computed on a CPU, beside our engine.</summary>
/// <param name="Model">the model's folder</param>
/// <param name="Float">to_cpu on a folder of layout fake</param>
/// <param name="Quantized">the converted modules on a folder of layout nxd</param>
/// <param name="QuantizedModules">modules that convert made quantized</param>
/// <param name="PlannedModules">modules that the folder's record says are</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record CpuReport(string Model, LogitsAgreement Float, LogitsAgreement Quantized, int QuantizedModules, int PlannedModules)
{
    // float32 on both sides, so that only the order of sums differs, by about 1e-6 of the logits' spread; bf16 would be 1e-2.
    private const double Share = 1e-4;

    /// <summary>What this proves, and what it does not.</summary>
    public const string Meaning =
        "It proves that the folder fits the modules of the release under its names, with nothing missing and no scale unused, "
        + "and that they compute what the engine computes. It does not prove that the compiler keeps that, nor what a chip computes.";

    /// <summary>True when both models agree to float32's rounding and the quantized modules are those that were meant.</summary>
    public bool Passed => Agrees(Float) && Agrees(Quantized) && QuantizedModules == PlannedModules;

    /// <summary>A row for each model.</summary>
    public DataFrame ToDataFrame() => new FrameRows($"{this}", "step", "result", "detail")
        .Row("float model by to_cpu, layout fake", Agrees(Float) ? "agrees" : "DIFFERENT", $"{Float}")
        .Row("quantized model by convert, layout nxd", Agrees(Quantized) ? "agrees" : "DIFFERENT", $"{Quantized}")
        .Row("quantized modules", QuantizedModules == PlannedModules ? "as planned" : "DIFFERENT", $"{QuantizedModules} of {PlannedModules}");

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <inheritdoc/>
    public override string ToString() => $"{Model} in NxD's own modules on a CPU: {(Passed ? "passed" : "FAILED")}";

    private static bool Agrees(LogitsAgreement found) => found.LargestDifference <= Share * found.Spread;
}

/// <summary>
/// The part of conformance that needs NxD Inference with what it imports, and no device: the release builds its own model in ordinary torch,
/// loads our folders, and answers a prompt. Float by <c>to_cpu</c>; quantized by <c>convert</c> with the per-channel configuration and a strict load.
/// </summary>
/// <remarks>
/// Sources: nxdi models/application_base.py:554-626 and models/model_wrapper.py:1454-1530 at SDK 2.28, called by lib/neuron_bridge/on_cpu.py.
/// </remarks>
public static class CpuConformance
{
    private const int PromptLength = 12, SequenceLength = 64;

    /// <summary>Writes both folders, lets the release answer and compares.</summary>
    /// <param name="modelPath">a small model with its weights, which the engine can run</param>
    /// <param name="folder">where the two copies go</param>
    /// <param name="python">which Python, and what it finds first</param>
    /// <param name="modulesToNotConvert">modules that stay float; the head of a tied model always does</param>
    /// <param name="log">told every line that Python prints</param>
    /// <param name="cancellation">ends Python and the run</param>
    /// <exception cref="NeuronRunException">Python lacks a package, the release cannot run on a CPU, or a folder does not fit its modules</exception>
    public static async Task<CpuReport> Run(string modelPath, string folder, ChildProcessOptions python,
        IReadOnlyList<string>? modulesToNotConvert = null,
        Action<string>? log = null, CancellationToken cancellation = default)
    {
        modelPath = Path.GetFullPath(HubCache.Resolve(modelPath));
        using var source = Checkpoint.Open(modelPath);
        string[] keep = [.. modulesToNotConvert ?? [], .. source.Config.TieWordEmbeddings ? new[] { "lm_head" } : []];
        var plan = QuantizationPlan.Create(source, Format.Int8, Granularity.PerChannelSymmetric, [.. keep.Distinct()]);
        string fake = Path.GetFullPath(Path.Combine(folder, "fake")), quantized = Path.GetFullPath(Path.Combine(folder, "quantized"));
        NeuronCheckpoint.Write(source, fake, plan, CheckpointLayout.Fake, overwrite: true, cancellation: cancellation);
        var record = NeuronCheckpoint.Write(source, quantized, plan, grid: Grid.OfNxdi(plan.Format, plan.Granularity),
            overwrite: true, cancellation: cancellation);
        var report = await Run(source.Config, fake, quantized, record, python, log, cancellation).ConfigureAwait(false);
        return report with { Model = Path.GetFileName(modelPath) };
    }

    /// <summary>The same with folders that are there.</summary>
    internal static async Task<CpuReport> Run(
        ModelConfig config, string fake, string quantized, QuantizationRecord record, ChildProcessOptions python, Action<string>? log,
            CancellationToken cancellation)
    {
        int[] ids = [.. Enumerable.Range(0, PromptLength).Select(i => (7 * i + 1) % config.VocabularySize)];
        await using var host = await ChildProcessHost.Start(python with { Environment = HostTarget.WithoutDevice(python.Environment) }, cancellation)
            .ConfigureAwait(false);
        Task<JsonNode> Call(string name, JsonObject arguments) => host.Call(name, arguments, log, cancellation);

        var model = LlamaModel.Load(fake);
        await Call("open", Opening(config, fake, NeuronConfig.Unquantized())).ConfigureAwait(false);
        await Call("to_cpu", []).ConfigureAwait(false);
        var floats = LogitsAgreement.Of(await Logits(Call, ids).ConfigureAwait(false), model, ids);

        await Call("open", Opening(config, fake, NeuronConfig.For(record, quantized))).ConfigureAwait(false);
        int converted = (int)(await Call("converted", []).ConfigureAwait(false))["quantized"]!;
        var same = QuantizedCopy.RoundToNearest(model, Grid.Nxd(), record.ModulesToNotConvert);
        var codes = LogitsAgreement.Of(await Logits(Call, ids).ConfigureAwait(false), same, ids);
        var plan = QuantizationPlan.Create(QuantizationPlan.LinearModules(config), config.TieWordEmbeddings, Format.Int8,
            Granularity.PerChannelSymmetric, record.ModulesToNotConvert);
        int planned = plan.Modules.Count() - plan.Kept.Count();
        return new CpuReport(Path.GetFileName(Path.GetDirectoryName(fake))!, floats, codes, converted, planned);
    }

    private static JsonObject Opening(ModelConfig config, string modelPath, NeuronConfig options) => new()
    {
        ["model_path"] = modelPath,
        ["model_class"] = config.Family == ModelFamily.Qwen2 ? "NeuronQwen2ForCausalLM" : NeuronSetup.LlamaClass,
        ["neuron_config"] = options.With("torch_dtype", "float32").With("tp_degree", 1).With("batch_size", 1).With("on_cpu", true)
            .With("seq_len", SequenceLength).With("max_context_length", SequenceLength).ToJsonObject(),
    };

    private static async Task<float[]> Logits(Func<string, JsonObject, Task<JsonNode>> call, int[] ids)
    {
        var row = new JsonArray([.. ids.Select(id => JsonValue.Create(id))]);
        return (await call("cpu_logits", new JsonObject { ["ids"] = row }).ConfigureAwait(false))["logits"]!.Read<float[]>("cpu_logits");
    }
}
