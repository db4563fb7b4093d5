using System.Runtime.InteropServices;

namespace NeuronQuant.Quantization;

/// <summary>
/// Round to nearest (RTN): scale = extreme / divisor, code = the nearest level, nothing learned. On the grid that NxDI uses for a format
/// and granularity, this is bit for bit what NxDI itself computes from the same weights.
/// </summary>
/// <remarks>
/// Effectively computes, per row r (or over the whole weight): s = max(absmax_r / divisor, floor); q = clamp(rne(w * (1/s))) for int8,
/// clamp(w/s) cast to fp8 otherwise; all in float32. Sources: nxd quantization/observer.py:217-250 (scale), torch
/// AffineQuantizerBase.cpp (reciprocal multiply), nxd quantization_utils.py:126-152 (fp8). Where NxD divides by the zero scale of an
/// all-zero fp8 tensor and writes NaN, this writes zeros with the floor as scale.
/// </remarks>
public static class RoundToNearest
{
    /// <summary>Quantizes a whole weight.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="grid">divisor, codes and format</param>
    /// <param name="granularity">one scale a row or one for all</param>
    /// <param name="cancellation">checked between blocks of rows</param>
    /// <exception cref="QuantizationException">a weight is NaN or infinite, or there are more weights than an array holds</exception>
    public static QuantizedWeight Quantize(
        WeightMatrix weight, Grid grid, Granularity granularity = Granularity.PerChannelSymmetric, CancellationToken cancellation = default)
    {
        if (weight.Count > Array.MaxLength) throw new QuantizationException(weight.Name, $"has {weight.Count} weights; quantize it in row chunks.");
        var scales = granularity == Granularity.PerChannelSymmetric ? new float[weight.Rows] : [TensorScale(weight, grid, cancellation)];
        var codes = new byte[weight.Count];
        QuantizeInto(weight, grid, granularity, codes, scales, cancellation);
        return new QuantizedWeight(weight.Name, grid, granularity, weight.Rows, weight.Columns, codes, scales);
    }

    /// <summary>
    /// Quantizes into the caller's buffers, so that a weight of any size streams through views of its rows. Fills <paramref name="codes"/>
    /// [rows, columns] and, per channel, <paramref name="scales"/> [rows]; per tensor it uses the one scale given.
    /// </summary>
    public static void QuantizeInto(
        WeightMatrix weight, Grid grid, Granularity granularity, byte[] codes, float[] scales, CancellationToken cancellation = default)
    {
        int columns = weight.Columns;
        bool perChannel = granularity == Granularity.PerChannelSymmetric;
        RowLoop.Run(weight.Rows, columns, weight.IsBf16 ? 0 : columns, (i, scratch) =>
        {
            var target = codes.AsSpan(i * columns, columns);
            ref float scale = ref scales[perChannel ? i : 0];
            if (weight.IsBf16)
            {
                var row = weight.Bf16Row(i);
                if (perChannel) scale = RowScale<ushort, Bf16Element>(weight, i, row, RowKernels.AbsoluteMaximum(row), grid);
                QuantizeRow<ushort, Bf16Element>(row, scale, grid, target);
            }
            else
            {
                weight.ReadRow(i, scratch);
                if (perChannel) scale = RowScale<float, FloatElement>(weight, i, scratch, RowKernels.AbsoluteMaximum(scratch), grid);
                QuantizeRow<float, FloatElement>(scratch, scale, grid, target);
            }
        }, cancellation);
    }

    /// <summary>The one scale of a per-tensor quantization: a pass over the whole weight.</summary>
    public static float TensorScale(WeightMatrix weight, Grid grid, CancellationToken cancellation = default)
    {
        var (minimum, maximum) = (new float[weight.Rows], new float[weight.Rows]);
        RowLoop.Run(weight.Rows, weight.Columns, weight.Columns, (i, scratch) =>
        {
            weight.ReadRow(i, scratch);
            MustBeFinite(weight, i, RowKernels.AbsoluteMaximum(scratch));
            (minimum[i], maximum[i]) = RowKernels.Extremes<float, FloatElement>(scratch);
        }, cancellation);
        float low = minimum.Min(), high = maximum.Max(), scale = MathF.Max(-low, high) / grid.Divisor;
        // NxD's fp8 has a least scale per channel (quantization_utils.py:135 at v2.28.0) and none per tensor (:148).
        return !grid.IsInteger && scale > 0 ? scale : grid.Scale(low, high);
    }

    private static float RowScale<T, TElement>(WeightMatrix weight, int index, ReadOnlySpan<T> row, float absoluteMaximum, Grid grid)
        where T : unmanaged where TElement : IElement<T>
    {
        MustBeFinite(weight, index, absoluteMaximum);
        if (!grid.Signed) return grid.Scale(-absoluteMaximum, absoluteMaximum);
        var (minimum, maximum) = RowKernels.Extremes<T, TElement>(row);
        return grid.Scale(minimum, maximum);
    }

    private static void QuantizeRow<T, TElement>(ReadOnlySpan<T> row, float scale, Grid grid, Span<byte> codes)
        where T : unmanaged where TElement : IElement<T>
    {
        if (grid is { IsInteger: true, Signed: false })
            RowKernels.Quantize<T, TElement>(row, 1f / scale, grid.Minimum, grid.Maximum, MemoryMarshal.Cast<byte, sbyte>(codes));
        else
            for (int i = 0; i < row.Length; i++) codes[i] = RowReference.Code(TElement.ToFloat(row[i]), scale, grid);
    }

    private static void MustBeFinite(WeightMatrix weight, int row, float absoluteMaximum)
    {
        if (!float.IsFinite(absoluteMaximum))
            throw new QuantizationException(weight.Name, $"row {row} holds a NaN or an infinity, so no scale exists. Repair or re-download the checkpoint.");
    }
}
