using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Tuning;

/// <summary>How far a block's output is from its original's; a scalar from which backward() can start.</summary>
/// <param name="output">[sequences, length, hidden] of the block with the codes of the moment</param>
/// <param name="target">the same of the original block on the original inputs</param>
/// <param name="mask">[sequences, length, 1], 1 where a position counts, else 0</param>
public delegate Tensor TuningLoss(Tensor output, Tensor target, Tensor mask);

/// <summary>From a weight and what is learned to integer codes and scales, codes * scales being the weight that the device multiplies by.</summary>
/// <param name="weight">[out, in] float32</param>
/// <param name="offsets">V in codes, [out, in]</param>
/// <param name="alpha">factor of the negative side of the range, [out, 1]</param>
/// <param name="beta">factor of the positive side, [out, 1]</param>
/// <param name="grid">which codes there are</param>
/// <returns>codes [out, in] and scales [out, 1], both with a graph back to offsets, alpha and beta</returns>
public delegate (Tensor Codes, Tensor Scales) TuningRounding(Tensor weight, Tensor offsets, Tensor alpha, Tensor beta, Grid grid);

/// <summary>Changes a parameter in place by its gradient.</summary>
/// <param name="parameter">V, alpha or beta of a weight</param>
/// <param name="gradient">dL / d parameter</param>
/// <param name="rate">of the iteration, see <see cref="TuningRecipe.RateAt"/></param>
public delegate void TuningUpdate(Tensor parameter, Tensor gradient, double rate);

/// <summary>What a reader may change of AutoRound without writing a gradient; null keeps AutoRound's own.</summary>
/// <param name="Name">part of a saved state's key, so that a state is not continued under other rules</param>
/// <param name="Loss">null for <see cref="LearnedRounding.MaskedSquares"/></param>
/// <param name="Rounding">null for <see cref="LearnedRounding.Round"/></param>
/// <param name="Update">null for <see cref="LearnedRounding.SignedStep"/></param>
public sealed record TuningRules(string Name = AutoRound.Method, TuningLoss? Loss = null, TuningRounding? Rounding = null, TuningUpdate? Update = null);

/// <summary>AutoRound's three formulas as a reader would write them down: the loss, the rounding with its straight-through estimator, the step.</summary>
/// <remarks>
/// Rounding: scale = max(alpha * |smallest weight|, beta * largest weight) / divisor; q = clamp(round half to even (w / scale + V)); W^ = scale * q. Round is
/// passed straight through (Bengio et al., 2013): forward it rounds, backward it is the identity; clamp stops the gradient where it moved a code.
/// The larger side alone has a gradient (on a tie, the positive one), and none at the floor of the scale.
/// nxd: the side is rounded to bf16 first, and the extreme weight of that side is pinned to the largest code (rule R1, see
/// <see cref="FakeQuantization"/>): a bf16 file of these weights comes back from NxDI with every integer. w is multiplied by the float32 reciprocal.
/// autoround: the scale is negative where the positive side decides, w is divided by it (auto-round data_type/int.py:165-238).
/// </remarks>
public static class LearnedRounding
{
    /// <summary>Mean over all values of the squared difference, masked positions counted as zero differences (auto-round quantizer.py:142-150).</summary>
    public static Tensor MaskedSquares(Tensor output, Tensor target, Tensor mask) => ((output - target) * mask).Squared().mean();

    /// <summary>Codes and scales of a weight, with a graph; see the remarks of the class.</summary>
    /// <exception cref="TuningException">the grid cannot be tuned on</exception>
    public static (Tensor Codes, Tensor Scales) Round(Tensor weight, Tensor offsets, Tensor alpha, Tensor beta, Grid grid)
    {
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(grid);
        Channels.Check("weight", grid);
        var channels = Channels.Of(weight).Under(alpha, beta, grid);
        var codes = StraightThrough(Ratio(weight, channels.Scales, grid).Plus(offsets), x => x.round()).clamp(Torch.Number(grid.Minimum), Torch.Number(grid.Maximum));
        return (channels.Pin(codes, grid), channels.Scales);
    }

    /// <summary>parameter -= rate * sign(gradient) (auto-round sign_sgd.py:389).</summary>
    public static void SignedStep(Tensor parameter, Tensor gradient, double rate)
    {
        ArgumentNullException.ThrowIfNull(parameter);
        ArgumentNullException.ThrowIfNull(gradient);
        parameter.add_(gradient.sign(), Torch.Number(-rate));
    }

    /// <summary>Forward a function of x, backward the identity.</summary>
    public static Tensor StraightThrough(Tensor x, Func<Tensor, Tensor> function)
    {
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(function);
        return x.Plus((function(x) - x).detach());
    }

    /// <summary>w / scale in the arithmetic of the grid.</summary>
    internal static Tensor Ratio(Tensor weight, Tensor scales, Grid grid) => grid.Signed ? weight / scales : weight * scales.reciprocal();
}

/// <summary>The extremes of a weight's channels, from which scales follow.</summary>
/// <param name="Smallest">[out, 1], 0 where no weight is negative</param>
/// <param name="Largest">[out, 1], 0 where no weight is positive</param>
/// <param name="SmallestAt">column, [out, 1] int64</param>
/// <param name="LargestAt">column, [out, 1] int64</param>
internal sealed record Channels(Tensor Smallest, Tensor Largest, Tensor SmallestAt, Tensor LargestAt)
{
    public static Channels Of(Tensor weight)
    {
        var (smallest, largest) = (weight.min(1, keepdim: true), weight.max(1, keepdim: true));
        return new Channels(smallest.values.clamp_max(Torch.Number(0)), largest.values.clamp_min(Torch.Number(0)), smallest.indexes, largest.indexes);
    }

    public static void Check(string name, Grid grid)
    {
        if (!grid.IsInteger || grid.Name is not ("nxd" or "autoround") || grid.GroupSize is not null || grid.HasZeroPoint)
            throw new TuningException(name, $"cannot be tuned on the grid '{grid}'. Use nxd, whose integers NxDI keeps, or autoround, with one scale a row.");
    }

    /// <summary>Scales under range factors.</summary>
    public ChannelScales Under(Tensor alpha, Tensor beta, Grid grid)
    {
        Tensor below = -Smallest * alpha, above = Largest * beta, decides = below > above, side = where(decides, below, above);
        if (!grid.Signed) side = LearnedRounding.StraightThrough(side, x => x.to(ScalarType.BFloat16).to(x.dtype));
        var scale = side / Torch.Number(grid.Divisor);
        var free = scale.gt(Torch.Number(grid.Floor));
        scale = where(free, scale, full_like(scale, Torch.Number(grid.Floor)));
        var pinned = where(decides, full_like(scale, Torch.Number(-grid.Maximum)), full_like(scale, Torch.Number(grid.Maximum)));
        return new ChannelScales(grid.Signed ? where(decides, scale, -scale) : scale, free, where(decides, SmallestAt, LargestAt), pinned);
    }
}

/// <summary>The scales of a weight's channels under range factors.</summary>
/// <param name="Scales">[out, 1], in weight units per code; negative on the autoround grid where the positive side decides</param>
/// <param name="Free">[out, 1], false where the scale is at the grid's floor</param>
/// <param name="PinnedAt">[out, 1], column of the extreme weight of the side that decides</param>
/// <param name="PinnedTo">[out, 1], the largest code, or its negative</param>
internal sealed record ChannelScales(Tensor Scales, Tensor Free, Tensor PinnedAt, Tensor PinnedTo)
{
    /// <summary>Puts the extreme weights of the nxd grid on the largest code; a channel at the floor keeps its own.</summary>
    public Tensor Pin(Tensor codes, Grid grid) => grid.Signed ? codes : codes.scatter(1, PinnedAt, where(Free, PinnedTo, codes.gather(1, PinnedAt)));
}
