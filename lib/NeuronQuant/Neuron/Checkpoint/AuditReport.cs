using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;

namespace NeuronQuant.Neuron;

/// <summary>What the audit can find; one member for one defect.</summary>
public enum AuditDefect
{
    /// <summary>Codes on the device would not be the intended ones.</summary>
    IntegersChanged,

    /// <summary>Scales are not the intended ones.</summary>
    ScalesChanged,

    /// <summary>A weight that is not quantized differs from the source's, rounded to bf16.</summary>
    WeightChanged,

    /// <summary>A tensor that the loader will ask for is not there.</summary>
    KeyMissing,

    /// <summary>A tensor that nothing will ask for, or that marks a module as quantized when it is not.</summary>
    KeyExtra,

    /// <summary>The element type is not what the loader expects there.</summary>
    WrongType,

    /// <summary>The shape is not what the loader expects there.</summary>
    WrongShape,

    /// <summary>An fp8 code that Neuron reads as infinity or NaN.</summary>
    ForbiddenCode,

    /// <summary>File and modules_to_not_convert disagree about a module, under one naming scheme or both.</summary>
    ExclusionDisagrees,

    /// <summary>The source holds a NaN or an infinity in a tensor that is copied.</summary>
    NotFinite,

    /// <summary>The source's lm_head differs from the embedding that config.json ties it to, and NxDI would overwrite it.</summary>
    HeadOverwritten,

    /// <summary>A file of an older write that the loader would take first.</summary>
    StaleFile,
}

/// <summary>One defect: where, what, and what to do.</summary>
/// <param name="Defect">the kind</param>
/// <param name="Module">the module, tensor or file at fault</param>
/// <param name="Message">found, expected, remedy</param>
public sealed record AuditFinding(AuditDefect Defect, string Module, string Message)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Module}: {Defect}: {Message}";
}

/// <summary>One linear module after the replay.</summary>
/// <param name="Module">the module</param>
/// <param name="Stored">the element type in the file</param>
/// <param name="Weights">weights in the module</param>
/// <param name="Changed">codes that are not the intended ones; 0 for a module that stays float</param>
/// <param name="IsQuantized">whether the plan quantizes it</param>
public sealed record AuditedModule(ModuleName Module, string Stored, long Weights, long Changed, bool IsQuantized);

/// <summary>The result of an audit. It passes when nothing was found.</summary>
/// <param name="Layout">the layout that was audited</param>
/// <param name="Plan">what the written folder was compared with, in words</param>
/// <param name="Modules">every linear module, in the order of a forward pass</param>
/// <param name="Findings">every defect</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record AuditReport(CheckpointLayout Layout, string Plan, IReadOnlyList<AuditedModule> Modules, IReadOnlyList<AuditFinding> Findings)
{
    /// <summary>What a careful reader should know of the source; no defect of the written folder.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>True when nothing was found.</summary>
    public bool Passed => Findings.Count == 0;

    /// <summary>Codes that NxDI would not have as intended, over all modules.</summary>
    public long Changed => Modules.Sum(module => module.Changed);

    /// <summary>Weights of the modules that are quantized.</summary>
    public long Quantized => Modules.Where(module => module.IsQuantized).Sum(module => module.Weights);

    /// <summary>A row for each module, those with changed integers highlighted.</summary>
    public DataFrame ToDataFrame()
    {
        var table = new FrameRows($"Audit: {Plan}", "module", "stored as", "weights", "integers changed", "%");
        foreach (var module in Modules)
            table.Row(module.Module.Name, module.Stored, module.Weights, module.Changed, 100.0 * module.Changed / module.Weights);
        return table.ToDataFrame().Mark(row => row[3] is long and > 0);
    }

    /// <summary>A row for each defect.</summary>
    public DataFrame ToFindingsDataFrame()
    {
        var table = new FrameRows(Passed ? "Audit: nothing found" : $"Audit: {Findings.Count} findings", "where", "defect",
            "what was found, and the remedy");
        foreach (var finding in Findings) table.Row(finding.Module, $"{finding.Defect}", finding.Message);
        return table;
    }

    /// <summary>The verdict, and the findings where there are any.</summary>
    public string ToHtml() => $"<p>{System.Net.WebUtility.HtmlEncode(ToString())}</p>{(Passed ? "" : ToFindingsDataFrame().ToHtml())}";

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant(
        $"{(Passed ? "passed" : "FAILED")}: {Plan}; {Modules.Count} linear modules, {Changed} integers changed, {Findings.Count} findings");
}
