using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>The extreme weights of a row; 0 where none is negative, or none positive.</summary>
internal readonly record struct RowEnds(float Smallest, int SmallestAt, float Largest, int LargestAt);

/// <summary>One row of a weight whose rounding is learned: its scale under range factors, its codes, and a step of all that is learned of it.</summary>
/// <remarks>
/// With G = dL/dW^ and "inside" for a code that neither the clamp moved nor the pin fixed:
///   scale = max(alpha * |smallest|, beta * largest) / divisor;   q = clamp(round half to even (w / scale + V))
///   dL/dV = G * scale where inside;   dL/dscale = sum over the row of G * (q - (w / scale where inside))
/// Only signs of gradients are needed. A row is read once, in the nearest cache, where operations over whole weights read and write them a dozen times.
/// The slow twin is autograd through LearnedRounding.Round, where the formulas are explained.
/// </remarks>
internal readonly struct LearnedRow
{
    private readonly Grid _grid;
    private readonly float _largest, _by, _minimum, _maximum;
    private readonly int _pinnedAt; // -1 for none
    private readonly float _pinnedTo;
    private readonly bool _below, _free;

    /// <param name="grid">nxd or autoround</param>
    /// <param name="ends">the extreme weights of the row</param>
    /// <param name="alpha">factor of the negative side</param>
    /// <param name="beta">factor of the positive side</param>
    public LearnedRow(Grid grid, RowEnds ends, float alpha, float beta)
    {
        (_grid, _largest, _minimum, _maximum) = (grid, ends.Largest, grid.Minimum, grid.Maximum);
        float below = -ends.Smallest * alpha, above = ends.Largest * beta;
        _below = below > above;
        float side = _below ? below : above, scale = (grid.Signed ? side : BFloat16.Round(side)) / grid.Divisor;
        _free = scale > grid.Floor;
        if (!_free) scale = grid.Floor;
        Scale = grid.Signed && !_below ? -scale : scale;
        _by = grid.Signed ? Scale : 1 / Scale;
        (_pinnedAt, _pinnedTo) = (grid.Signed || !_free ? -1 : _below ? ends.SmallestAt : ends.LargestAt, _below ? -_maximum : _maximum);
    }

    /// <summary>Weight units a code; negative on the autoround grid where the positive side decides.</summary>
    public float Scale { get; }

    /// <summary>scale * code of every weight.</summary>
    public void Values(ReadOnlySpan<float> w, ReadOnlySpan<float> v, Span<float> values)
    {
        if (_grid.Signed) TensorPrimitives.Divide(w, _by, values);
        else TensorPrimitives.Multiply(w, _by, values);
        TensorPrimitives.Add(values, v, values);
        TensorPrimitives.Round(values, values);
        TensorPrimitives.Max(values, _minimum, values);
        TensorPrimitives.Min(values, _maximum, values);
        if (_pinnedAt >= 0) values[_pinnedAt] = _pinnedTo;
        TensorPrimitives.Multiply(values, Scale, values);
    }

    /// <summary>V -= rate * sign(dL/dV), and the same for the factor of the side that decides.</summary>
    /// <param name="w">the weights</param>
    /// <param name="v">their offsets</param>
    /// <param name="g">dL/dW^</param>
    /// <param name="rate">length of the step</param>
    /// <param name="alpha">from 0 to 1</param>
    /// <param name="beta">from 0 to 1</param>
    /// <param name="codes">gets the codes before the step; empty for nowhere</param>
    public void Step(ReadOnlySpan<float> w, Span<float> v, ReadOnlySpan<float> g, float rate, ref float alpha, ref float beta, Span<sbyte> codes)
    {
        float step = Scale < 0 ? -rate : rate, slope;
        if (_pinnedAt < 0) slope = Free(w, v, g, step, codes);
        else
        {
            var (before, behind) = (.._pinnedAt, (_pinnedAt + 1)..);
            slope = Free(w[before], v[before], g[before], step, codes.IsEmpty ? codes : codes[before]) + g[_pinnedAt] * _pinnedTo
                + Free(w[behind], v[behind], g[behind], step, codes.IsEmpty ? codes : codes[behind]);
            if (!codes.IsEmpty) codes[_pinnedAt] = (sbyte)_pinnedTo;
        }
        float up = _free ? Along(slope, step) : 0; // A negative scale shrinks as its factor grows.
        if (_below) alpha = Math.Clamp(alpha - up, 0, 1);
        else if (_largest > 0) beta = Math.Clamp(beta - up, 0, 1);
    }

    // Steps weights that are not pinned; dL/dscale.
    private float Free(ReadOnlySpan<float> w, Span<float> v, ReadOnlySpan<float> g, float step, Span<sbyte> codes)
    {
        bool divides = _grid.Signed;
        var (by, low, high, steps, zero) = (Vector512.Create(_by), Vector512.Create(_minimum), Vector512.Create(_maximum), Vector512.Create(step), Vector512<float>.Zero);
        var sums = zero;
        ref float firstW = ref MemoryMarshal.GetReference(w), firstV = ref MemoryMarshal.GetReference(v), firstG = ref MemoryMarshal.GetReference(g);
        int i = 0;
        for (; i + 16 <= w.Length; i += 16)
        {
            var (weight, offset, slope) = (Vector512.LoadUnsafe(ref firstW, (nuint)i), Vector512.LoadUnsafe(ref firstV, (nuint)i), Vector512.LoadUnsafe(ref firstG, (nuint)i));
            var ratio = divides ? weight / by : weight * by;
            var rounded = Vector512.Round(ratio + offset);
            var code = Vector512.MinNative(Vector512.MaxNative(rounded, low), high);
            if (!codes.IsEmpty) Bytes(code).CopyTo(codes[i..]);
            var inside = Vector512.Equals(rounded, code);
            sums += (code - (ratio & inside)) * slope;
            var moved = steps & inside;
            (offset - (moved & Vector512.GreaterThan(slope, zero)) + (moved & Vector512.LessThan(slope, zero))).StoreUnsafe(ref firstV, (nuint)i);
        }
        float sum = Vector512.Sum(sums);
        for (; i < w.Length; i++)
        {
            float ratio = divides ? w[i] / _by : w[i] * _by, rounded = MathF.Round(ratio + v[i]), code = Math.Clamp(rounded, _minimum, _maximum);
            if (!codes.IsEmpty) codes[i] = (sbyte)code;
            bool inside = rounded == code;
            sum += (code - (inside ? ratio : 0)) * g[i];
            if (inside) v[i] -= Along(g[i], step);
        }
        return sum;
    }

    // step * sign(slope); of a NaN nothing, as torch has it.
    private static float Along(float slope, float step) => slope > 0 ? step : slope < 0 ? -step : 0;

    private static Vector128<sbyte> Bytes(Vector512<float> codes)
    {
        var integers = Vector512.ConvertToInt32Native(codes);
        var halves = Vector256.Narrow(integers.GetLower(), integers.GetUpper());
        return Vector128.Narrow(halves.GetLower(), halves.GetUpper());
    }
}
