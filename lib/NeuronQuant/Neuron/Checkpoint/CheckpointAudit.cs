using System.Diagnostics.CodeAnalysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>
/// Replays NxDI's own quantization on a written folder, before a chip is touched: for layout nxd the codes and scales that NxDI would
/// have computed from the source, for layout fake the second rounding of the bf16 file. Every key, type, shape, code and exclusion is
/// compared with what the loader will ask for.
/// </summary>
/// <remarks>
/// On the host most of these defects are silent: a scale without its module is dropped and int8 codes are cast to bf16 as weights
/// (nxd v2.28.0, trace/trace.py:640-644, trace/model_builder.py:786-800). Nothing here needs Python or a device; both folders are streamed.
/// </remarks>
public static class CheckpointAudit
{
    /// <summary>Audits a folder against its source.</summary>
    /// <param name="source">the checkpoint in floating point</param>
    /// <param name="writtenPath">the folder that was written</param>
    /// <param name="modulesToNotConvert">the entries that NeuronConfig will get; null for those that the folder's record names</param>
    /// <param name="progress">told the weights done and their number</param>
    /// <param name="cancellation">checked between chunks</param>
    /// <exception cref="CheckpointException">the written folder holds no readable checkpoint</exception>
    public static AuditReport Run(
        Checkpoint source, string writtenPath, IReadOnlyList<string>? modulesToNotConvert = null, Action<long, long>? progress = null,
            CancellationToken cancellation = default)
    {
        writtenPath = HubCache.Resolve(writtenPath);
        using var written = Checkpoint.OpenStored(writtenPath);
        var record = Directory.Exists(writtenPath) ? QuantizationRecord.Read(writtenPath) : null;
        var layout = record?.Layout == "fake" || (record is null && !HasCodes(written)) ? CheckpointLayout.Fake : CheckpointLayout.Nxd;
        var (format, granularity) = record is null ? Guess(written) : (record.Format, record.Granularity);
        var entries = modulesToNotConvert ?? record?.ModulesToNotConvert ?? [];
        bool ofSource = record?.Method == QuantizationRecord.OfSource;
        bool tuned = record is not null && !ofSource && record.Method != QuantizationRecord.RoundToNearest;
        var grid = record is null || tuned ? Grid.OfNxdi(format, granularity) : record.WholeGrid;
        if (!TryPlan(source, format, granularity, entries, out var plan, out var refusal))
            return new AuditReport(layout, $"modules_to_not_convert [{string.Join(", ", entries)}]", [], [refusal]);

        var findings = new List<AuditFinding>(AuditFiles.Stale(writtenPath));
        if (source.HeadTie == HeadTie.Contradicted)
            findings.Add(new AuditFinding(AuditDefect.HeadOverwritten, "lm_head", $"{TiedHead.Contradiction}."));
        findings.AddRange(AuditExclusions.Compare(written, plan, entries, layout));
        var chosen = tuned ? ChosenCodes.Read(writtenPath, record!) : null;
        if (tuned && chosen is null)
            findings.Add(new AuditFinding(AuditDefect.KeyMissing, ChosenCodes.FolderName,
                $"the record says {record!.Method}, but the folder that tells the chosen codes is missing or damaged, so they cannot be audited. "
                    + "Write the folder again."));
        var modules = new List<AuditedModule>();
        var keys = new WrittenKeys(written, layout);
        var expected = new HashSet<string>();
        long done = 0, total = source.Tensors.Sum(tensor => tensor.ElementCount);
        foreach (var tensor in source.Tensors)
        {
            bool whole = keys.Check(tensor, plan, expected, findings);
            var module = ModuleName.OfTensor(tensor.Name, out string parameter);
            bool linear = module.IsLinear && parameter == "weight";
            long changed = 0;
            if (whole && chosen?.Floats.GetValueOrDefault(NeuronCheckpoint.Bare(tensor.Name)) is { } digests)
                AuditFloats.CompareFolded(written, keys.Find(tensor)!, digests, findings, cancellation);
            else if (whole && NeuronCheckpoint.IsQuantized(tensor, plan)) changed = chosen?.Find(module) is { } codes
                ? ReplayChosen(tensor, written, keys, codes, findings, cancellation)
                : Replay(source, tensor, written, keys, plan, grid, ofSource && SourceCodes.Has(source, tensor), findings, cancellation);
            else if (whole) AuditFloats.Compare(source, tensor, written, keys.Find(tensor)!, findings, cancellation);
            if (linear) modules.Add(new AuditedModule(module, keys.Find(tensor)?.Type.Name() ?? "missing", tensor.ElementCount, changed,
                NeuronCheckpoint.IsQuantized(tensor, plan)));
            progress?.Invoke(done += tensor.ElementCount, total);
        }
        if (chosen is not null) findings.AddRange(AuditFloats.Added(source, written, chosen, expected, cancellation));
        findings.AddRange(keys.Extra(expected));
        return new AuditReport(layout, Describe(plan, layout, grid, record), modules, findings) { Notes = CheckpointNotes.Of(source) };
    }

    private static bool TryPlan(
        Checkpoint source, Format format, Granularity granularity, IReadOnlyList<string> entries,
        [NotNullWhen(true)] out QuantizationPlan? plan, [NotNullWhen(false)] out AuditFinding? refusal)
    {
        (plan, refusal) = (null, null);
        try
        {
            plan = QuantizationPlan.Create(source, format, granularity, Unadded(entries, granularity));
            return true;
        }
        catch (QuantizationException error)
        {
            refusal = new AuditFinding(AuditDefect.ExclusionDisagrees, error.Module, error.Message);
            return false;
        }
    }

    private static long Replay(
        Checkpoint source, TensorInfo tensor, Checkpoint written, WrittenKeys keys, QuantizationPlan plan, Grid grid, bool own,
            List<AuditFinding> findings, CancellationToken cancellation)
    {
        var stored = keys.Find(tensor)!;
        string module = ModuleName.OfTensor(tensor.Name, out _).Name;
        var result = own ? AuditReplay.Own(source, tensor, written, stored, keys.Scale(tensor)!)
            : keys.Layout == CheckpointLayout.Nxd
            ? AuditReplay.Codes(source, tensor, written, stored, keys.Scale(tensor)!, plan, cancellation)
            : AuditReplay.Fake(source, tensor, written, stored, plan, grid, cancellation);
        if (result.Forbidden > 0)
            findings.Add(new AuditFinding(AuditDefect.ForbiddenCode, module, $"{result.Forbidden} fp8 codes are beyond Neuron's range (+-240 for "
                + "e4m3, finite for e5m2); the hardware reads infinity or NaN. Quantize again with this library, or rescale by 448/240."));
        if (result.Changed > 0)
            findings.Add(new AuditFinding(AuditDefect.IntegersChanged, module, FormattableString.Invariant(
                $"{result.Changed} of {tensor.ElementCount} codes ({100.0 * result.Changed / tensor.ElementCount:0.###} %) are not the ")
                + $"intended ones, {Cause(keys.Layout, grid)}"));
        if (result.Scales > 0)
            findings.Add(new AuditFinding(AuditDefect.ScalesChanged, module,
                $"{result.Scales} scales are not {(own ? "the source's" : "NxDI's")}; the device would multiply by them all the same. Write the folder again."));
        return result.Changed;
    }

    private static long ReplayChosen(TensorInfo tensor, Checkpoint written, WrittenKeys keys, ChosenModule chosen, List<AuditFinding> findings,
        CancellationToken cancellation)
    {
        var stored = keys.Find(tensor)!;
        var module = ModuleName.OfTensor(tensor.Name, out _);
        if (chosen.Digests.Length != tensor.Shape[0] || chosen.Scales.Length != tensor.Shape[0] * chosen.Grid.GroupsIn((int)tensor.Shape[1]))
        {
            findings.Add(new AuditFinding(AuditDefect.WrongShape, module.Name,
                $"the folder '{ChosenCodes.FolderName}' tells of {chosen.Digests.Length} channels, the source has {tensor.Shape[0]}. Is it of "
                    + "another model?"));
            return 0;
        }
        var result = keys.Layout == CheckpointLayout.Nxd
            ? AuditChosen.Codes(written, stored, keys.Scale(tensor)!, chosen, cancellation) : AuditChosen.Fake(written, stored, chosen, cancellation);
        findings.AddRange(AuditChosen.Findings(module.Name, tensor.ElementCount, result, chosen.Grid));
        return Math.Max(result.Moved, result.Channels); // A channel that differs has at least one code that does.
    }

    private static string Cause(CheckpointLayout layout, Grid grid) => layout == CheckpointLayout.Nxd || grid.WhyNotOnNeuron is not null
        ? "so the folder was not written from this source, or was changed since. Write it again."
        : grid.Name is "nxd" or "f8e4m3" or "f8e5m2"
            ? "after NxDI rounds the bf16 file again. Write it by rule R1 (nq quantize --layout fake) or as codes and scales (--layout nxd)."
            : $"because NxDI rounds the grid '{grid.Name}' again on absmax/127. Use --grid nxd, or --layout nxd.";

    private static string Describe(QuantizationPlan plan, CheckpointLayout layout, Grid grid, QuantizationRecord? record) =>
        $"{plan.Format.NxdiName()} {plan.Granularity.NxdiName()}, layout {(layout == CheckpointLayout.Nxd ? "nxd" : "fake")}, "
            + $"{record?.Codes ?? $"grid {grid}"}, "
        + $"{plan.Kept.Count()} modules kept in bf16{(record is null ? ", no record in the folder" : record.Method is QuantizationRecord.RoundToNearest or QuantizationRecord.OfSource ? "" : $", codes by {record.Method}")}"
        + (grid.WhyNotOnNeuron is { } reason ? $"; the values were compared, not NxDI's rounding of them: {reason}" : "")
        + (record?.Widths is { } widths ? $", {widths.Count} modules below 8 bits: their values were compared, not NxDI's rounding of them, as Inf2 stores 8 bits" : "");

    private static bool HasCodes(Checkpoint written) =>
        written.Tensors.Any(tensor => tensor.Type is TensorType.I8 or TensorType.F8E4M3 or TensorType.F8E5M2);

    private static (Format, Granularity) Guess(Checkpoint written)
    {
        var codes = written.Tensors.FirstOrDefault(tensor => tensor.Type is TensorType.I8 or TensorType.F8E4M3 or TensorType.F8E5M2);
        var format = codes?.Type switch { TensorType.F8E4M3 => Format.F8E4M3, TensorType.F8E5M2 => Format.F8E5M2, _ => Format.Int8 };
        bool perTensor = written.Tensors.Any(tensor => tensor.Name.EndsWith("scale", StringComparison.Ordinal) && tensor.Shape is [1]);
        return (format, perTensor ? Granularity.PerTensorSymmetric : Granularity.PerChannelSymmetric);
    }

    // The plan adds lm_head by itself when it is tied, also per tensor, where other entries are refused.
    private static IReadOnlyList<string> Unadded(IReadOnlyList<string> entries, Granularity granularity) =>
        granularity == Granularity.PerTensorSymmetric && entries is ["lm_head"] ? [] : entries;
}
