using System.Runtime.InteropServices;

namespace NeuronQuant.Quantization;

/// <summary>
/// Round to nearest (RTN): scale = extreme / divisor, code = the nearest level, nothing learned. On the grid that NxDI uses for a format
/// and granularity, this is bit for bit what NxDI itself computes from the same weights.
/// </summary>
/// <remarks>
/// Effectively computes, per row r (or group of a row, or over the whole weight): s = max(absmax_r / divisor, floor); q = clamp(rne(w * (1/s)))
/// for integers, clamp(w/s) cast to fp8 otherwise; all in float32. With a zero point z, s = (max - min) / divisor and q = clamp(rne(w * (1/s)) + z),
/// as torch's fake_quantize_per_channel_affine does. Sources: nxd quantization/observer.py:217-250 (scale), torch
/// AffineQuantizerBase.cpp (reciprocal multiply), nxd quantization_utils.py:126-152 (fp8). Where NxD divides by the zero scale of an
/// all-zero fp8 tensor and writes NaN, this writes zeros with the floor as scale.
/// </remarks>
public static class RoundToNearest
{
    /// <summary>Quantizes a whole weight.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="grid">divisor, codes and format; with groups each has its scale, with zero points also its zero point</param>
    /// <param name="granularity">scales for each row, or one for all</param>
    /// <param name="cancellation">checked between blocks of rows</param>
    /// <exception cref="QuantizationException">a weight is NaN or infinite, or there are more weights than an array holds</exception>
    public static QuantizedWeight Quantize(
        WeightMatrix weight, Grid grid, Granularity granularity = Granularity.PerChannelSymmetric, CancellationToken cancellation = default)
    {
        if (weight.Count > Array.MaxLength) throw new QuantizationException(weight.Name, $"has {weight.Count} weights; quantize it in row chunks.");
        bool perTensor = granularity == Granularity.PerTensorSymmetric;
        var scaling = perTensor ? TensorScaling(weight, grid, cancellation) : default;
        float[] scales = perTensor ? [scaling.Scale] : new float[weight.Rows * grid.GroupsIn(weight.Columns)];
        float[] zeros = grid.HasZeroPoint ? perTensor ? [scaling.ZeroPoint] : new float[scales.Length] : [];
        var codes = new byte[weight.Count];
        QuantizeInto(weight, grid, granularity, codes, scales, cancellation, zeros);
        return new QuantizedWeight(weight.Name, grid, granularity, weight.Rows, weight.Columns, codes, scales) { ZeroPoints = zeros };
    }

    /// <summary>
    /// Quantizes into the caller's buffers, so that a weight of any size streams through views of its rows. Fills <paramref name="codes"/>
    /// [rows, columns] and, unless per tensor, <paramref name="scales"/> and <paramref name="zeroPoints"/> [rows, groups]; per tensor it uses
    /// the ones given. Without zero points in the grid their buffer is not touched.
    /// </summary>
    /// <exception cref="QuantizationException">a weight is NaN or infinite, or groups are asked for per tensor</exception>
    public static void QuantizeInto(WeightMatrix weight, Grid grid, Granularity granularity, byte[] codes, float[] scales,
        CancellationToken cancellation = default, float[]? zeroPoints = null)
    {
        bool perTensor = granularity == Granularity.PerTensorSymmetric;
        if (perTensor && grid.GroupSize is not null) throw NoGroups(weight, grid);
        if (grid.HasZeroPoint && zeroPoints is null)
            throw new QuantizationException(weight.Name, $"the grid '{grid}' has zero points; give a buffer for them.");
        int columns = weight.Columns;
        var pass = new Pass(weight, grid, perTensor, codes, scales, zeroPoints ?? []);
        RowLoop.Run(weight.Rows, columns, weight.IsBf16 ? 0 : columns, (row, scratch) =>
        {
            if (weight.IsBf16)
            {
                pass.Row<ushort, Bf16Element>(row, weight.Bf16Row(row));
                return;
            }
            weight.ReadRow(row, scratch);
            pass.Row<float, FloatElement>(row, scratch);
        }, cancellation);
    }

    /// <summary>The one scale of a per-tensor quantization: a pass over the whole weight.</summary>
    public static float TensorScale(WeightMatrix weight, Grid grid, CancellationToken cancellation = default) =>
        TensorScaling(weight, grid, cancellation).Scale;

    private static (float Scale, float ZeroPoint) TensorScaling(WeightMatrix weight, Grid grid, CancellationToken cancellation)
    {
        if (grid.GroupSize is not null) throw NoGroups(weight, grid);
        var (minimum, maximum) = (new float[weight.Rows], new float[weight.Rows]);
        RowLoop.Run(weight.Rows, weight.Columns, weight.Columns, (i, scratch) =>
        {
            weight.ReadRow(i, scratch);
            MustBeFinite(weight, i, RowKernels.AbsoluteMaximum(scratch));
            (minimum[i], maximum[i]) = RowKernels.Extremes<float, FloatElement>(scratch);
        }, cancellation);
        float low = minimum.Min(), high = maximum.Max();
        // NxD's fp8 has a least scale per channel (quantization_utils.py:135 at v2.28.0) and none per tensor (:148).
        float bare = MathF.Max(-low, high) / grid.Divisor, scale = !grid.IsInteger && bare > 0 ? bare : grid.Scale(low, high);
        return (scale, grid.ZeroPoint(low, scale));
    }

    private static QuantizationException NoGroups(WeightMatrix weight, Grid grid) =>
        new(weight.Name, $"the grid '{grid}' has a scale for every group, and per tensor there is one for all. Use per_channel_symmetric.");

    private static void MustBeFinite(WeightMatrix weight, int row, float absoluteMaximum)
    {
        if (!float.IsFinite(absoluteMaximum))
            throw new QuantizationException(weight.Name, $"row {row} holds a NaN or an infinity, so no scale exists. Repair or re-download the checkpoint.");
    }

    // One row at a time, one group of it after the other; without groups a row is one.
    private sealed record Pass(WeightMatrix Weight, Grid Grid, bool PerTensor, byte[] Codes, float[] Scales, float[] ZeroPoints)
    {
        private readonly int _groups = Grid.GroupsIn(Weight.Columns), _size = Grid.GroupSize ?? Weight.Columns;

        public void Row<T, TElement>(int row, ReadOnlySpan<T> weights) where T : unmanaged where TElement : IElement<T>
        {
            var codes = Codes.AsSpan(row * weights.Length, weights.Length);
            for (int group = 0, start = 0; group < _groups; group++, start += _size)
            {
                int length = Math.Min(_size, weights.Length - start), at = PerTensor ? 0 : row * _groups + group;
                var part = weights.Slice(start, length);
                if (!PerTensor) Scale<T, TElement>(row, part, at);
                Quantize<T, TElement>(part, Scales[at], Grid.HasZeroPoint ? ZeroPoints[at] : 0, codes.Slice(start, length));
            }
        }

        private void Scale<T, TElement>(int row, ReadOnlySpan<T> part, int at) where T : unmanaged where TElement : IElement<T>
        {
            float absoluteMaximum = TElement.AbsoluteMaximum(part);
            MustBeFinite(Weight, row, absoluteMaximum);
            if (!Grid.Signed && !Grid.HasZeroPoint)
            {
                Scales[at] = Grid.Scale(-absoluteMaximum, absoluteMaximum);
                return;
            }
            var (minimum, maximum) = RowKernels.Extremes<T, TElement>(part);
            Scales[at] = Grid.Scale(minimum, maximum);
            if (Grid.HasZeroPoint) ZeroPoints[at] = Grid.ZeroPoint(minimum, Scales[at]);
        }

        private void Quantize<T, TElement>(ReadOnlySpan<T> part, float scale, float zero, Span<byte> codes)
            where T : unmanaged where TElement : IElement<T>
        {
            if (Grid is { IsInteger: true, Signed: false })
                RowKernels.Quantize<T, TElement>(part, 1f / scale, Grid.Minimum, Grid.Maximum, MemoryMarshal.Cast<byte, sbyte>(codes), (int)zero);
            else
                for (int i = 0; i < part.Length; i++) codes[i] = RowReference.Code(TElement.ToFloat(part[i]), scale, Grid);
        }
    }
}
