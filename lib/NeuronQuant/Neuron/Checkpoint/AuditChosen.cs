using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>How a written weight differs from the codes that were chosen for it.</summary>
/// <param name="Channels">channels whose codes are not the chosen ones</param>
/// <param name="FirstChannel">the first of them, or -1</param>
/// <param name="Scales">scales that are not the chosen ones</param>
/// <param name="Moved">codes that NxDI's second rounding changes (layout fake, 8 bits)</param>
internal readonly record struct ChosenResult(int Channels, int FirstChannel, int Scales, long Moved);

/// <summary>The audit of tuned codes, against the witness beside the weights (see <see cref="ChosenCodes"/>).</summary>
/// <remarks>
/// Layout nxd: every channel's digest and scale. Layout fake: codes come back as round(w / scale); their digests are compared, every value
/// must be bf16(scale * code), and then NxDI's rounding of the file is replayed and compared with the codes. Below 8 bits there is nothing
/// to replay, since Inf2 stores 8: digests and bf16 values are compared and that is all. With groups or zero points the digests are of the values.
/// </remarks>
internal static class AuditChosen
{
    public static IEnumerable<AuditFinding> Findings(string module, long weights, ChosenResult result, Grid grid)
    {
        if (result.Channels > 0)
            yield return new AuditFinding(AuditDefect.IntegersChanged, module,
                $"the codes of {result.Channels} channels are not those that were chosen, the first is channel {result.FirstChannel}; "
                + "the folder was changed since it was written. Write it again.");
        if (result.Scales > 0)
            yield return new AuditFinding(AuditDefect.ScalesChanged, module,
                $"{result.Scales} scales are not those that were chosen; the folder was changed since it was written. Write it again.");
        if (result.Moved > 0)
            yield return new AuditFinding(AuditDefect.IntegersChanged, module, FormattableString.Invariant(
                $"{result.Moved} of {weights} codes ({100.0 * result.Moved / weights:0.###} %) are not the chosen ones after NxDI ")
                + $"rounds the bf16 file again on absmax/127; they were chosen on the grid '{grid}'. Tune on the grid nxd, or write layout nxd.");
    }

    public static ChosenResult Codes(Checkpoint written, TensorInfo stored, TensorInfo storedScale, ChosenModule chosen,
        CancellationToken cancellation)
    {
        int rows = (int)stored.Shape[0], columns = (int)stored.Shape[1];
        var wrong = new bool[rows];
        RowLoop.Run(rows, columns, 0, (row, _) =>
            wrong[row] = ChosenCodes.Digest(written.Bytes(stored, (long)row * columns, columns)) != chosen.Digests[row], cancellation);
        var scales = MemoryMarshal.Cast<byte, float>(written.Bytes(storedScale, 0, rows * sizeof(float)));
        int different = 0;
        for (int row = 0; row < rows; row++)
            if (!scales[row].Equals(chosen.Scales[row])) different++;
        return new ChosenResult(wrong.Count(value => value), Array.IndexOf(wrong, true), different, 0);
    }

    public static ChosenResult Fake(Checkpoint written, TensorInfo stored, ChosenModule chosen, CancellationToken cancellation)
    {
        var weight = WeightMatrix.Of(written, stored);
        var wrong = new bool[weight.Rows];
        int first = 0;
        long moved = 0;
        if (ChosenCodes.TellsValues(chosen.Grid))
        {
            RowLoop.Run(weight.Rows, weight.Columns, weight.Columns, (row, values) =>
            {
                weight.ReadRow(row, values);
                wrong[row] = ChosenCodes.Digest(values) != chosen.Digests[row];
            }, cancellation);
            return new ChosenResult(wrong.Count(value => value), Array.IndexOf(wrong, true), 0, 0);
        }
        foreach (var chunk in weight.Chunks(1 << 22))
        {
            var intended = Recover(chunk, chosen, first, wrong, cancellation);
            if (chosen.Grid.Bits == 8) moved += SecondRounding.Compare(intended,
                RoundToNearest.Quantize(chunk, Grid.Nxd(), cancellation: cancellation)).Changed;
            first += chunk.Rows;
        }
        return new ChosenResult(wrong.Count(value => value), Array.IndexOf(wrong, true), 0, moved);
    }

    // The codes of some rows of a bf16 file; marks the rows that cannot have been written from the chosen codes.
    private static QuantizedWeight Recover(WeightMatrix chunk, ChosenModule chosen, int first, bool[] wrong, CancellationToken cancellation)
    {
        var codes = new byte[chunk.Count];
        RowLoop.Run(chunk.Rows, chunk.Columns, chunk.Columns, (row, weights) =>
        {
            chunk.ReadRow(row, weights);
            float scale = chosen.Scales[first + row];
            var target = codes.AsSpan(row * chunk.Columns, chunk.Columns);
            bool exact = true;
            for (int i = 0; i < weights.Length; i++)
            {
                float code = Math.Clamp(MathF.Round(weights[i] / scale, MidpointRounding.ToEven), sbyte.MinValue, sbyte.MaxValue);
                target[i] = (byte)(sbyte)code;
                exact &= BFloat16.Round(scale * code) == weights[i];
            }
            wrong[first + row] = !exact || ChosenCodes.Digest(target) != chosen.Digests[first + row];
        }, cancellation);
        return new QuantizedWeight(chunk.Name, chosen.Grid, Granularity.PerChannelSymmetric, chunk.Rows, chunk.Columns, codes,
            chosen.Scales[first..(first + chunk.Rows)]);
    }
}
