using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;

namespace NeuronQuant.Methods;

/// <summary>How AdaRound learns.</summary>
/// <param name="Iterations">steps of Adam for each module</param>
/// <param name="Rate">Adam's rate, in units of V, in which floor and ceiling are about 5 apart</param>
/// <param name="Lambda">weight of the mean regulariser against the error relative to rounding, at the end of the warm start; it grows to 10,000
/// times that, so that no weight stays between two codes</param>
/// <param name="WarmStart">share of the iterations without regulariser</param>
/// <param name="SearchRange">whether the scale is that of <see cref="Clipping"/>, as AIMET searches it, or that of the largest weight</param>
public sealed record AdaRoundOptions(int Iterations = 500, double Rate = 2e-2, double Lambda = 0.01, double WarmStart = 0.2,
    bool SearchRange = true);

/// <summary>What AdaRound made of a weight.</summary>
/// <param name="Weight">codes and scales</param>
/// <param name="RoundedError">output error of rounding to nearest, mean over tokens of |(W^-W) x|^2</param>
/// <param name="Error">the same of these codes</param>
/// <param name="Soft">weights that were between two codes after the last step</param>
/// <param name="Learned">whether the learned codes were kept; false where rounding was no worse</param>
public sealed record AdaRoundWeight(QuantizedWeight Weight, double RoundedError, double Error, long Soft, bool Learned);

/// <summary>
/// AdaRound: whether each weight goes up or down is learned, so that the layer's output, not the weight, stays near. Nearest is not best: errors
/// of weights that meet the same inputs can cancel.
/// </summary>
/// <remarks>
/// Nagel et al., "Up or down?", 2020 (arXiv 2004.10568); v1/adaround/adaround_loss.py:70-135, optimizer.py:156-218 of quic/aimet (c51b284b).
///   w^ = s clamp(floor(w / s) + h(V)),   h(V) = clamp(1.2 sigmoid(V) - 0.1, 0, 1), which reaches 0 and 1 at finite V
///   V starts where h is the fraction of w / s, so that w^ = w; at the end h = [V >= 0]
///   L = |(W^ - W) x|^2 / that of rounding + lambda mean(1 - |2h - 1|^beta)
/// beta falls from 20 to 2 by a cosine after a warm start of a fifth: first only what is nearly decided is pushed, at last everything.
/// It is layer by layer, where <see cref="AutoRound"/> is block by block. With H = sum x x^T the error is tr(D H D^T), D = W^ - W, its gradient by
/// h is 2 s (D H), and no token is looked at twice: 2 out in^2 operations a step. That needs the same inputs on both sides, those of the
/// floating-point model; the original takes those of the layers quantized before. A step over a 4096 x 4096 module is 137 GFLOP, so on a processor
/// this is for small models.
/// The published regulariser is a sum over all weights; with 59 million of them 0.01 times it starts at 560,000 and drowns the error, so it is a
/// mean here, and the error relative to rounding's, which makes one lambda fit all modules; it grows by powers, so that weights are decided one
/// after another, those whose error matters least first. A weight still between two codes after the last step would jump
/// when it is rounded, so none may be left: the last one in a hundred get half as many steps more, and a TuningException says how many are left
/// then. 10,000 steps at 1e-3 are AIMET's; 500 at 2e-2 go as far.
/// The scale is found first, by the clipping search (AIMET searches a range as well), and stays. On the grid that NxDI shares, the largest weight of
/// a row is pinned to the largest code (rule R1). If the codes are no better than rounding on the calibration texts, those of rounding are kept.
/// Left out: minibatches, the activation function behind the layer, and lm_head, which is rounded to nearest.
/// </remarks>
/// <param name="Options">null for the defaults</param>
public sealed record AdaRound(AdaRoundOptions? Options = null) : IQuantizationMethod
{
    internal const double Zeta = 1.1, Gamma = -0.1;

    /// <inheritdoc/>
    public string Name => "adaround";

    /// <inheritdoc/>
    public MethodNeeds Needs => MethodNeeds.Calibration;

    /// <inheritdoc/>
    public QuantizedModel Apply(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input)
    {
        var grams = GramMatrix.Capture(model, input.Texts(Name), cancellation: input.Cancellation);
        return QuantizedModel.Each(Name, model, grids, (linear, grid) => grams.TryGetValue(linear.Module, out var gram)
            ? Quantize(linear.ToWeightMatrix(), gram, grid, Options, input.Cancellation).Weight
            : RoundToNearestMethod.Round(linear, grid), input.Cancellation);
    }

    /// <summary>Learns the rounding of one weight.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="gram">of its inputs</param>
    /// <param name="grid">a grid of integers, with or without groups and zero points</param>
    /// <param name="options">null for the defaults</param>
    /// <param name="cancellation">checked before each step</param>
    /// <exception cref="TuningException">the grid has no integers, sizes differ, or weights are left between two codes</exception>
    public static AdaRoundWeight Quantize(
        WeightMatrix weight, GramMatrix gram, Grid grid, AdaRoundOptions? options = null, CancellationToken cancellation = default) =>
        Quantize(weight, gram, grid, options ?? new AdaRoundOptions(), TorchSharp.torch.ScalarType.Float32, cancellation);

    internal static AdaRoundWeight Quantize(WeightMatrix weight, GramMatrix gram, Grid grid, AdaRoundOptions options,
        TorchSharp.torch.ScalarType type,
        CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(gram);
        if (!grid.IsInteger) throw new TuningException(weight.Name,
            $"is on the grid '{grid}', which has no integers to round up or down to. Use int8.");
        if (options is not { Iterations: > 0, Rate: > 0, Lambda: > 0, WarmStart: >= 0 and < 1 })
            throw new TuningException(weight.Name, $"{options}: give steps, a rate and a lambda above 0, and a warm start below 1.");
        if (weight.Columns != gram.Size)
            throw new TuningException(weight.Name, $"has {weight.Columns} inputs, its Gram matrix {gram.Size}. Capture the matrix of this module.");
        var rounded = FakeQuantization.OnGrid(weight, grid, cancellation);
        var start = options.SearchRange ? Clipping.Search(weight, grid, cancellation: cancellation).Weight : rounded;
        var learned = Torch.Run(() => new AdaRoundRun(weight, start, gram, type).Learn(options, cancellation));
        double Error(QuantizedWeight of) => gram.Error(weight.ToArray(), of.Dequantize()) / Math.Max(1, gram.Tokens);
        var (plain, own, clipped) = (Error(rounded), Error(learned.Weight), Error(start));
        return own < Math.Min(plain, clipped) ? new AdaRoundWeight(learned.Weight, plain, own, learned.Soft, true)
            : clipped < plain ? new AdaRoundWeight(start, plain, clipped, learned.Soft, false)
            : new AdaRoundWeight(rounded, plain, plain, learned.Soft, false);
    }

    /// <summary>V at which h is a fraction: -ln(1.2 / (r + 0.1) - 1).</summary>
    /// <param name="fraction">w / s less its floor, 0 to 1</param>
    public static double Initial(double fraction) => -Math.Log((Zeta - Gamma) / (fraction - Gamma) - 1);

    /// <summary>h(V) = clamp(1.2 sigmoid(V) - 0.1, 0, 1).</summary>
    public static double Height(double v) => Math.Clamp((Zeta - Gamma) / (1 + Math.Exp(-v)) + Gamma, 0, 1);

    /// <summary>1 - |2h - 1|^beta: 0 where h is decided.</summary>
    public static double Term(double height, double beta) => 1 - Math.Pow(Math.Abs(2 * height - 1), beta);

    /// <summary>2 + 9 (1 + cos(pi t)): from 20 to 2.</summary>
    /// <param name="progress">share of the iterations behind the warm start, 0 to 1</param>
    public static double Beta(double progress) => 2 + 9 * (1 + Math.Cos(Math.PI * progress));
}
