using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>
/// Fake quantization: the quantized weight is written back as bf16 numbers, scale * level, so that any bf16 tool can run it. NxDI then
/// quantizes that file once more, on its own grid. Rule R1 is what makes this second rounding return the first one's codes.
/// </summary>
/// <remarks>
/// R1: M = bf16(alpha * absmax) per channel; s = M / divisor; q = nearest level of w/s; the element with the largest magnitude is set to
/// the largest level; the file gets bf16(s * q).
/// Why it is exact for int8: the file's own absolute maximum is M, so NxDI finds the same s. A written value is off by at most a
/// relative 2^-8, so w/s' is off by at most 126 * 2^-8 = 0.49 of a step, below one half. Below M = 1.6e-5 NxDI's floor is the scale on
/// both sides, and nothing needs to be forced. The same holds for fp8, whose levels are coarser than bf16's.
/// On any other grid (127.5, signed 128, a scale that is no bf16 maximum / 127) codes move: see <see cref="SecondRounding"/>.
/// </remarks>
public static class FakeQuantization
{
    /// <summary>Quantizes by rule R1, so that the bf16 file of the result comes back from NxDI with the same codes.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="grid">nxd with 8 bits, f8e4m3 or f8e5m2: a grid that NxDI itself uses per channel</param>
    /// <param name="cancellation">checked between blocks of rows</param>
    /// <exception cref="QuantizationException">the grid is not NxDI's per-channel grid, or a weight is not finite</exception>
    public static QuantizedWeight Exact(WeightMatrix weight, Grid grid, CancellationToken cancellation = default)
    {
        if (!IsShared(grid))
            throw new QuantizationException(weight.Name, $"rule R1 cannot keep codes of the grid '{grid}' through NxDI, which rounds again on absmax/127. Use nxd.");
        if (weight.Count > Array.MaxLength) throw new QuantizationException(weight.Name, $"has {weight.Count} weights; quantize it in row chunks.");
        var (codes, scales) = (new byte[weight.Count], new float[weight.Rows]);
        int columns = weight.Columns;
        RowLoop.Run(weight.Rows, columns, columns, (row, scratch) =>
        {
            weight.ReadRow(row, scratch);
            scales[row] = ExactRow(weight, row, scratch, grid, codes.AsSpan(row * columns, columns));
        }, cancellation);
        return new QuantizedWeight(weight.Name, grid, Granularity.PerChannelSymmetric, weight.Rows, weight.Columns, codes, scales);
    }

    /// <summary>
    /// By rule R1 on a grid that NxDI shares, and by plain rounding on any other: fewer bits, groups, zero points, another divisor. Its codes the
    /// second rounding moves, so such a file is for measuring in bf16.
    /// </summary>
    public static QuantizedWeight OnGrid(WeightMatrix weight, Grid grid, CancellationToken cancellation = default) =>
        IsShared(grid) ? Exact(weight, grid, cancellation) : RoundToNearest.Quantize(weight, grid, Granularity.PerChannelSymmetric, cancellation);

    internal static bool IsShared(Grid grid) => grid == Grid.Nxd() || grid == Grid.F8E4M3 || grid == Grid.F8E5M2;

    private static float ExactRow(WeightMatrix weight, int index, ReadOnlySpan<float> row, Grid grid, Span<byte> codes)
    {
        float maximum = BFloat16.Round(RowKernels.AbsoluteMaximum(row));
        if (!float.IsFinite(maximum))
            throw new QuantizationException(weight.Name, $"row {index} holds a weight that is not finite in bf16, so no scale exists. Repair the checkpoint.");
        float scale = grid.Scale(-maximum, maximum);
        int largest = 0;
        for (int i = 0; i < row.Length; i++)
        {
            codes[i] = RowReference.Code(row[i], scale, grid);
            if (MathF.Abs(row[i]) > MathF.Abs(row[largest])) largest = i;
        }
        if (scale > grid.Floor) codes[largest] = RowReference.Code(MathF.CopySign(maximum, row[largest]), scale, grid);
        return scale;
    }
}
