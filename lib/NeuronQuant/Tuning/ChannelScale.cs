using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>The scale of one channel under learned range factors, what it changes by when they do, and the weight that is pinned.</summary>
/// <remarks>
/// below = alpha * |smallest weight|, above = beta * largest weight; the larger of the two sides decides (on a tie, above).
/// autoround: scale = below / 2^(b-1), or -above / 2^(b-1) where above decides (auto-round data_type/int.py:165-238).
/// nxd: scale = bf16(larger side) / (2^(b-1)-1), and the extreme weight of that side is pinned to the largest code. This is rule R1
/// (see <see cref="FakeQuantization"/>): a bf16 file of these weights comes back from NxDI with every integer, at 8 bits.
/// Slopes pass straight through the rounding to bf16 and are zero at the floor and on the side that does not decide.
/// </remarks>
/// <param name="Scale">in weight units per code; negative on the autoround grid when above decides</param>
/// <param name="AlphaSlope">d scale / d alpha</param>
/// <param name="BetaSlope">d scale / d beta</param>
/// <param name="PinnedCode">code of the pinned weight: the largest, or its negative when below decides; 0 when nothing is pinned</param>
internal readonly record struct ChannelScale(float Scale, float AlphaSlope, float BetaSlope, float PinnedCode)
{
    /// <summary>True when the smallest weight decides.</summary>
    public bool Below => AlphaSlope != 0 || PinnedCode < 0;

    /// <param name="grid">nxd or autoround</param>
    /// <param name="smallest">the smallest weight of the channel, or 0 when none is negative</param>
    /// <param name="largest">the largest weight of the channel, or 0 when none is positive</param>
    /// <param name="alpha">factor of the negative side</param>
    /// <param name="beta">factor of the positive side</param>
    public static ChannelScale Of(Grid grid, float smallest, float largest, float alpha, float beta)
    {
        float below = -smallest * alpha, above = largest * beta;
        bool isBelow = below > above;
        if (grid.Signed)
        {
            float signed = grid.Scale(-below, above);
            bool atFloor = MathF.Abs(signed) <= grid.Floor;
            return new ChannelScale(signed, isBelow && !atFloor ? -smallest / grid.Divisor : 0, isBelow || atFloor ? 0 : -largest / grid.Divisor, 0);
        }
        float maximum = BFloat16.Round(MathF.Max(below, above)), scale = grid.Scale(-maximum, maximum);
        if (scale <= grid.Floor) return new ChannelScale(scale, 0, 0, 0);
        return new ChannelScale(scale, isBelow ? -smallest / grid.Divisor : 0, isBelow ? 0 : largest / grid.Divisor, isBelow ? -grid.Maximum : grid.Maximum);
    }
}
