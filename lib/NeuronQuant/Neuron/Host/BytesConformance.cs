using System.Text.Json.Nodes;
using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>What the comparison found.</summary>
/// <param name="Model">the model's folder</param>
/// <param name="Bytes">each code and scale against NxD's functions</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record BytesReport(string Model, ConformanceReport Bytes)
{
    /// <summary>What this proves, and what it does not.</summary>
    public const string Meaning = "It proves the codes and scales of a folder. It does not prove that a graph loads them, nor what a chip computes with them.";

    /// <summary>The verdict, then each tensor that differs.</summary>
    public DataFrame ToDataFrame()
    {
        var table = new FrameRows($"{this}", "tensor", "result").Row("codes and scales, byte by byte", Bytes.Equal ? $"equal: {Bytes.Tensors} tensors" : "DIFFERENT");
        foreach (var difference in Bytes.Differences) table.Row(difference.Tensor, difference.Difference);
        return table;
    }

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <inheritdoc/>
    public override string ToString() => $"Bytes of {Model} against NxD's own functions: {(Bytes.Equal ? "passed" : "FAILED")}";
}

/// <summary>
/// The part of conformance that needs no device and no compiler: a model is written in layout nxd, and NxD's own quantization functions are
/// called on the same weights, in any Python that has torch and neuronx_distributed. Whoever doubts the codes can try it on a laptop.
/// </summary>
/// <remarks>Functions: nxd quantization/quantization_utils.py at v2.28.0, called by lib/neuron_bridge/conformance.py. A tied head stays in bf16.</remarks>
public static class BytesConformance
{
    /// <summary>Writes the folder and compares it.</summary>
    /// <param name="modelPath">a model with its weights</param>
    /// <param name="folder">where the quantized copy goes</param>
    /// <param name="python">which Python, and what it finds first</param>
    /// <param name="format">of the codes</param>
    /// <param name="granularity">of the scales; per tensor NxD quantizes every module, so that a tied model cannot be compared</param>
    /// <param name="log">told every line that Python prints</param>
    /// <param name="cancellation">ends Python and the run</param>
    /// <exception cref="NeuronRunException">Python lacks torch or neuronx_distributed, or torch lacks the format</exception>
    public static async Task<BytesReport> Run(string modelPath, string folder, ChildProcessOptions python, Format format = Format.Int8,
        Granularity granularity = Granularity.PerChannelSymmetric, Action<string>? log = null, CancellationToken cancellation = default)
    {
        modelPath = Path.GetFullPath(HubCache.Resolve(modelPath));
        using var source = Checkpoint.Open(modelPath);
        string[] keep = source.HasConfig && source.Config.TieWordEmbeddings ? ["lm_head"] : [];
        var record = NeuronCheckpoint.Write(source, folder, QuantizationPlan.Create(source, format, granularity, keep), overwrite: true, cancellation: cancellation);
        await using var host = await ChildProcessHost.Start(python, cancellation).ConfigureAwait(false);
        var answer = await host.Call("conformance_bytes", new JsonObject
        {
            ["model_path"] = modelPath,
            ["folder"] = Path.GetFullPath(folder),
            ["quantization_type"] = record.QuantizationType,
            ["quantization_dtype"] = record.QuantizationDtype,
            ["modules_to_not_convert"] = new JsonArray([.. record.ModulesToNotConvert.Select(entry => JsonValue.Create(entry))]),
        }, log, cancellation).ConfigureAwait(false);
        return new BytesReport(Path.GetFileName(modelPath), answer.Read<ConformanceReport>("conformance_bytes"));
    }
}
