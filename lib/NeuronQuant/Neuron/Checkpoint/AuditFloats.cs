using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>
/// Compares what is not quantized - embeddings, norms, kept modules - with the source. NxDI casts it to bf16 when it loads, so both sides
/// are compared as bf16 values. A value of the source that is no number is a finding of its own: a faithful copy of it is no better.
/// </summary>
internal static class AuditFloats
{
    private const int Step = 1 << 20; // elements

    public static void Compare(Checkpoint source, TensorInfo tensor, Checkpoint written, TensorInfo stored, List<AuditFinding> findings,
        CancellationToken cancellation)
    {
        if (!NeuronCheckpoint.IsFloat(tensor.Type)) return;
        var (expected, found) = (new float[Math.Min(Step, tensor.ElementCount)], new float[Math.Min(Step, tensor.ElementCount)]);
        long changed = 0, broken = 0, firstBroken = -1;
        for (long first = 0; first < tensor.ElementCount; first += Step)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = (int)Math.Min(Step, tensor.ElementCount - first);
            source.ReadFloats(tensor, first, expected.AsSpan(0, count));
            written.ReadFloats(stored, first, found.AsSpan(0, count));
            for (int i = 0; i < count; i++)
            {
                ushort code = BFloat16.Encode(expected[i]);
                if (code != BFloat16.Encode(found[i])) changed++;
                if (!float.IsFinite(BFloat16.Decode(code)) && broken++ == 0) firstBroken = first + i;
            }
        }
        if (broken > 0)
            findings.Add(new AuditFinding(AuditDefect.NotFinite, tensor.Name,
                $"{broken} of {tensor.ElementCount} values of the source are NaN or infinite in bf16, the first is element {firstBroken}. Repair "
                    + "or re-download the source."));
        if (changed > 0)
            findings.Add(new AuditFinding(AuditDefect.WeightChanged, stored.Name,
                $"{changed} of {tensor.ElementCount} values differ from the source's in bf16, although the module is not quantized. Write the "
                    + "folder again from this source."));
    }

    /// <summary>Compares a tensor that a method changed with the digests of what it was changed to.</summary>
    public static void CompareFolded(
        Checkpoint written, TensorInfo stored, ulong[] digests, List<AuditFinding> findings, CancellationToken cancellation)
    {
        var weight = WeightMatrix.Of(written, stored);
        if (weight.Rows != digests.Length)
        {
            findings.Add(new AuditFinding(AuditDefect.WrongShape, stored.Name,
                $"has {weight.Rows} rows, and the folder '{ChosenCodes.FolderName}' tells of {digests.Length}. Is it of another model?"));
            return;
        }
        var wrong = new bool[weight.Rows];
        RowLoop.Run(weight.Rows, weight.Columns, weight.Columns, (row, values) =>
        {
            weight.ReadRow(row, values);
            wrong[row] = ChosenCodes.Digest(values) != digests[row];
        }, cancellation);
        if (Array.IndexOf(wrong, true) is >= 0 and var first)
            findings.Add(new AuditFinding(AuditDefect.WeightChanged, stored.Name,
                $"{wrong.Count(value => value)} of {wrong.Length} rows are not what the method changed them to, the first is row {first}; "
                + "the folder was changed since it was written. Write it again."));
    }

    /// <summary>Compares what the source does not have, the head of a tied model that was untied, and takes it among the expected keys.</summary>
    public static List<AuditFinding> Added(
        Checkpoint source, Checkpoint written, ChosenCodes chosen, HashSet<string> expected, CancellationToken cancellation)
    {
        var findings = new List<AuditFinding>();
        var known = source.Tensors.Select(tensor => NeuronCheckpoint.Bare(tensor.Name)).ToHashSet();
        foreach (var (name, digests) in chosen.Floats.Where(pair => !known.Contains(pair.Key)))
        {
            expected.Add(name);
            if (written.Tensors.FirstOrDefault(tensor => NeuronCheckpoint.Bare(tensor.Name) == name) is { } stored)
                CompareFolded(written, stored, digests, findings, cancellation);
            else
                findings.Add(new AuditFinding(AuditDefect.KeyMissing, name,
                    "the method gave the model a tensor of its own, and it is not in the folder. Write it again."));
        }
        return findings;
    }
}
