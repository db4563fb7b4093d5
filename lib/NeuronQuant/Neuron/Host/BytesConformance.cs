using System.Text.Json.Nodes;
using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>One format's comparison.</summary>
/// <param name="Format">of the codes, as NxD Inference spells it</param>
/// <param name="Bytes">each code and scale against NxD's functions</param>
public sealed record FormatConformance(string Format, ConformanceReport Bytes);

/// <summary>What the comparison found.</summary>
/// <param name="Model">the model's folder</param>
/// <param name="Formats">each format that was asked for</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record BytesReport(string Model, IReadOnlyList<FormatConformance> Formats)
{
    /// <summary>What this proves, and what it does not.</summary>
    public const string Meaning =
        "It proves the codes and scales of a folder. It does not prove that a graph loads them, nor what a chip computes with them.";

    /// <summary>True when something was compared and every format is equal.</summary>
    public bool Equal => Formats.Count > 0 && Formats.All(format => format.Bytes.Equal);

    /// <summary>The verdict on each format, then each tensor that differs.</summary>
    public DataFrame ToDataFrame()
    {
        var table = new FrameRows($"{this}", "format", "tensor", "result");
        foreach (var (format, bytes) in Formats)
        {
            table.Row(format, "codes and scales, byte by byte", bytes.Equal ? $"equal: {bytes.Tensors} tensors" : "DIFFERENT");
            foreach (var difference in bytes.Differences) table.Row(format, difference.Tensor, difference.Difference);
        }
        return table;
    }

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <inheritdoc/>
    public override string ToString() => $"Bytes of {Model} against NxD's own functions: {(Equal ? "passed" : "FAILED")}";
}

/// <summary>
/// The part of conformance that needs no device and no compiler: a model is written in layout nxd, and NxD's own quantization functions are
/// called on the same weights, in any Python that has torch and neuronx_distributed. Whoever doubts the codes can try it on a laptop.
/// </summary>
/// <remarks>Functions: nxd quantization/quantization_utils.py at v2.28.0, called by lib/neuron_bridge/conformance.py. A tied head stays in
/// bf16.</remarks>
public static class BytesConformance
{
    /// <summary>The formats that NxD quantizes to on a CPU (quantization_utils.py:217-229 at v2.28.0).</summary>
    public static IReadOnlyList<Format> Formats { get; } = [Format.Int8, Format.F8E4M3, Format.F8E5M2];

    /// <summary>Writes a folder for each format and compares it.</summary>
    /// <param name="modelPath">a model with its weights</param>
    /// <param name="folder">where the quantized copies go, each in a folder of its format's name</param>
    /// <param name="python">which Python, and what it finds first</param>
    /// <param name="formats">of the codes; all of <see cref="Formats"/> when null</param>
    /// <param name="granularity">of the scales; per tensor NxD quantizes every module, so that a tied model cannot be compared</param>
    /// <param name="log">told every line that Python prints</param>
    /// <param name="cancellation">ends Python and the run</param>
    /// <exception cref="NeuronRunException">Python lacks torch or neuronx_distributed, or torch lacks the format</exception>
    public static async Task<BytesReport> Run(string modelPath, string folder, ChildProcessOptions python, IReadOnlyList<Format>? formats = null,
        Granularity granularity = Granularity.PerChannelSymmetric, Action<string>? log = null, CancellationToken cancellation = default)
    {
        modelPath = Path.GetFullPath(HubCache.Resolve(modelPath));
        using var source = Checkpoint.Open(modelPath);
        string[] keep = source.HasConfig && source.Config.TieWordEmbeddings ? ["lm_head"] : [];
        await using var host = await ChildProcessHost.Start(python, cancellation).ConfigureAwait(false);
        var found = new List<FormatConformance>();
        foreach (var format in formats ?? Formats)
        {
            string target = Path.GetFullPath(Path.Combine(folder, format.NxdiName()));
            var plan = QuantizationPlan.Create(source, format, granularity, keep);
            var record = NeuronCheckpoint.Write(source, target, plan, grid: Grid.OfNxdi(plan.Format, plan.Granularity),
                overwrite: true, cancellation: cancellation);
            var answer = await host.Call("conformance_bytes", Arguments(modelPath, target, record), log, cancellation).ConfigureAwait(false);
            found.Add(new FormatConformance(format.NxdiName(), answer.Read<ConformanceReport>("conformance_bytes")));
        }
        return new BytesReport(Path.GetFileName(modelPath), found);
    }

    private static JsonObject Arguments(string modelPath, string folder, QuantizationRecord record) => new()
    {
        ["model_path"] = modelPath,
        ["folder"] = folder,
        ["quantization_type"] = record.QuantizationType,
        ["quantization_dtype"] = record.QuantizationDtype,
        ["modules_to_not_convert"] = new JsonArray([.. record.ModulesToNotConvert.Select(entry => JsonValue.Create(entry))]),
    };
}
