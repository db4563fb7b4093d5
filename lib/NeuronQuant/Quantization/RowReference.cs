using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>
/// The formulas of quantization, one weight at a time, as a reader would write them down. They are the twin against which the fast
/// kernels are tested, and the only implementation of what is not hot: division grids and fp8.
/// </summary>
/// <remarks>
/// int8: FBGEMM QuantUtils.h and torch AffineQuantizerBase.cpp compute nearbyint(w * (1.0f/scale)), not w/scale; the two differ on
/// exact ties, of which bf16 weights over a bf16 maximum make many. fp8: nxd quantization_utils.py:126-142 divides, clamps, casts.
/// </remarks>
internal static class RowReference
{
    /// <summary>clamp(round-half-even(value), minimum, maximum).</summary>
    public static sbyte Code(float value, int minimum, int maximum) =>
        (sbyte)Math.Clamp(MathF.Round(value, MidpointRounding.ToEven), minimum, maximum);

    /// <summary>The code byte of one weight on a grid; the zero point is an integer, in codes.</summary>
    public static byte Code(float weight, float scale, Grid grid, float zeroPoint = 0) => grid.Format switch
    {
        Format.Int8 when zeroPoint != 0 =>
            (byte)(sbyte)Math.Clamp(MathF.Round(weight * (1f / scale), MidpointRounding.ToEven) + zeroPoint, grid.Minimum, grid.Maximum),
        Format.Int8 => (byte)Code(grid.Signed ? weight / scale : weight * (1f / scale), grid.Minimum, grid.Maximum),
        Format.F8E4M3 => Float8E4M3.Encode(weight / scale),
        _ => Float8E5M2.Encode(weight / scale),
    };

    /// <summary>What a code is worth before the scale.</summary>
    public static float Level(byte code, Grid grid) => grid.Format switch
    {
        Format.Int8 => (sbyte)code,
        Format.F8E4M3 => Float8E4M3.Decode(code),
        _ => Float8E5M2.Decode(code),
    };

    /// <summary>The scale of a row (or of a whole weight, given all of it).</summary>
    public static float Scale(ReadOnlySpan<float> weights, Grid grid)
    {
        var (minimum, maximum) = RowKernels.Extremes<float, FloatElement>(weights);
        return grid.Scale(minimum, maximum);
    }
}
