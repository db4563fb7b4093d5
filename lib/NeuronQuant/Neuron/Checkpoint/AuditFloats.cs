using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;

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
}
