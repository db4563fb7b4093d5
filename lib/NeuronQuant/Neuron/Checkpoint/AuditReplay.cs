using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>How many codes and scales of a weight differ from the intended ones, and how many codes Neuron cannot read.</summary>
internal readonly record struct ReplayResult(long Changed, int Scales, long Forbidden);

/// <summary>
/// The arithmetic of the audit. Codes: NxDI's quantization of the source, or the source's own, compared byte by byte with the file. Fake: the intended codes
/// (rule R1, or plain rounding on the recorded grid) compared with NxDI's quantization of the bf16 file. On a grid that NxDI cannot load its
/// second rounding is nobody's intent: there the values of the file are compared with those intended.
/// </summary>
internal static class AuditReplay
{
    public static ReplayResult Codes(
        Checkpoint source, TensorInfo tensor, Checkpoint written, TensorInfo stored, TensorInfo storedScale, QuantizationPlan plan,
            CancellationToken cancellation)
    {
        var weight = WeightMatrix.Of(source, tensor);
        var grid = Grid.OfNxdi(plan.Format, plan.Granularity);
        bool perChannel = plan.Granularity == Granularity.PerChannelSymmetric;
        float[] one = perChannel ? [] : [RoundToNearest.TensorScale(weight, grid, cancellation)];
        var result = new ReplayResult(0, perChannel ? 0 : Differences<float>(one, Scales(written, storedScale, 0, 1)), 0);
        long row = 0;
        foreach (var chunk in weight.Chunks())
        {
            var (codes, scales) = (new byte[chunk.Count], perChannel ? new float[chunk.Rows] : one);
            RoundToNearest.QuantizeInto(chunk, grid, plan.Granularity, codes, scales, cancellation);
            var file = written.Bytes(stored, row * weight.Columns, codes.Length);
            result = new ReplayResult(
                result.Changed + Differences<byte>(codes, file),
                result.Scales + (perChannel ? Differences<float>(scales, Scales(written, storedScale, row, chunk.Rows)) : 0),
                result.Forbidden + Forbidden(file, plan.Format));
            row += chunk.Rows;
        }
        return result;
    }

    /// <summary>The source's own codes and scales, which were taken over.</summary>
    public static ReplayResult Own(Checkpoint source, TensorInfo tensor, Checkpoint written, TensorInfo stored, TensorInfo storedScale)
    {
        var result = new ReplayResult(0, 0, 0);
        long row = 0;
        foreach (var rows in SourceCodes.Chunks(source, tensor))
        {
            result = new ReplayResult(
                result.Changed + Differences<byte>(rows.Codes, written.Bytes(stored, row * rows.Columns, rows.Codes.Length)),
                result.Scales + Differences<float>(rows.Scales, Scales(written, storedScale, row, rows.Rows)), 0);
            row += rows.Rows;
        }
        return result;
    }

    public static ReplayResult Fake(
        Checkpoint source, TensorInfo tensor, Checkpoint written, TensorInfo stored, QuantizationPlan plan, Grid grid, CancellationToken cancellation)
    {
        var native = Grid.OfNxdi(plan.Format, plan.Granularity);
        long changed = 0;
        using var files = WeightMatrix.Of(written, stored).Chunks(1 << 22).GetEnumerator();
        foreach (var chunk in WeightMatrix.Of(source, tensor).Chunks(1 << 22))
        {
            files.MoveNext();
            var intended = FakeQuantization.OnGrid(chunk, grid, cancellation);
            if (grid.WhyNotOnNeuron is not null) changed += Values(intended, files.Current);
            else changed += SecondRounding.Compare(intended, RoundToNearest.Quantize(files.Current, native, plan.Granularity, cancellation)).Changed;
        }
        return new ReplayResult(changed, 0, 0);
    }

    private static long Values(QuantizedWeight intended, WeightMatrix file)
    {
        var (expected, found) = (new float[file.Columns], new float[file.Columns]);
        long changed = 0;
        for (int row = 0; row < file.Rows; row++)
        {
            intended.DequantizeRow(row, expected);
            file.ReadRow(row, found);
            for (int i = 0; i < found.Length; i++)
                if (BFloat16.Round(expected[i]) != found[i]) changed++;
        }
        return changed;
    }

    private static ReadOnlySpan<float> Scales(Checkpoint written, TensorInfo scale, long first, int count) =>
        MemoryMarshal.Cast<byte, float>(written.Bytes(scale, first * sizeof(float), count * sizeof(float)));

    private static int Differences<T>(ReadOnlySpan<T> expected, ReadOnlySpan<T> found) where T : unmanaged, IEquatable<T>
    {
        int count = 0;
        for (int i = expected.CommonPrefixLength(found); i < expected.Length; i++)
            if (!expected[i].Equals(found[i])) count++;
        return count;
    }

    private static long Forbidden(ReadOnlySpan<byte> codes, Format format)
    {
        if (format == Format.Int8) return 0;
        int largest = format == Format.F8E4M3 ? Float8E4M3.MaxCode : 0x7B;
        long count = 0;
        foreach (byte code in codes)
            if ((code & 0x7F) > largest) count++;
        return count;
    }
}
