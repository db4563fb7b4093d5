using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Methods;

/// <summary>
/// SmoothQuant: moves the range of large activation channels into the weights, so that activations can be quantized too. For weights alone it
/// is no help: it makes them harder to round, and the table shows it.
/// </summary>
/// <remarks>
/// Xiao et al., "SmoothQuant", 2022 (arXiv 2211.10438); smooth.py:49-71, 126-141 of mit-han-lab/smoothquant. For each input channel j of the modules
/// that read one norm:
///   s_j = max(max|x_j|^alpha / max_i|w_ij|^(1 - alpha), 1e-5),   max over all tokens, and over the rows of all the modules
/// and then x / s goes into the norm's gain, W * s into the weights. alpha = 0.5 makes max|x_j / s_j| = max|w_ij s_j|; the authors' values are 0.8
/// for Mistral and 0.85 for Llama 2 and 3. Only what reads a norm is smoothed: o and down have none, and their inputs are the ones with the largest
/// outliers, so int8 activations stay worst there.
/// On Inferentia2 activations are bf16 whatever is done, so there is nothing to gain from it, and the weights pay: this file is for the
/// study of int8 activations elsewhere, and as the mirror of AWQ, which moves the other way for the weights' sake.
/// On the demo model it is at 3 bits what rounding is, or a little worse (loss on right answers 0.0126 nats, rounding 0.0125): gains of a norm went
/// up or down, and rows got a longer range. It is below it at 4 bits (0.0060 against 0.0063), and in groups of 64.
/// Left out: llm-compressor's variant, with the range max - min of activations and twice max|w|, which is the same where x is symmetric.
/// </remarks>
/// <param name="Alpha">0 leaves all range in activations, 1 moves all of it</param>
public sealed record SmoothQuant(double Alpha = 0.5) : IModelTransform
{
    private const double Smallest = 1e-5; // The authors' floor of a scale.

    /// <inheritdoc/>
    public string Name => "smoothquant";

    /// <inheritdoc/>
    public MethodNeeds Needs => MethodNeeds.Calibration;

    /// <summary>The scales of one group of modules.</summary>
    /// <param name="activations">max|x_j|, [in]</param>
    /// <param name="weights">max_i|w_ij| over all modules of the group, [in]</param>
    /// <param name="alpha">0 to 1</param>
    public static double[] Scales(double[] activations, double[] weights, double alpha)
    {
        ArgumentNullException.ThrowIfNull(activations);
        // A channel that is always zero, on either side, has nothing to move.
        return [.. activations.Zip(weights, (x, w) => x == 0 || w == 0 ? 1
            : Math.Max(Math.Pow(Math.Max(x, Smallest), alpha) / Math.Pow(Math.Max(w, Smallest), 1 - alpha), Smallest))];
    }

    /// <inheritdoc/>
    public FoldedModel Fold(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (Alpha is not (>= 0 and <= 1)) throw new ArgumentException(FormattableString.Invariant($"alpha {Alpha} is not between 0 and 1."));
        var (found, folded, folds) = (ActivationStatistics.Capture(model, input.Texts(Name), input.Cancellation), model.Copy(), new List<Fold>());
        foreach (var block in folded.Blocks)
            foreach (var (norm, input_) in new[] { (block.InputNorm, "input_layernorm"), (block.MiddleNorm, "post_attention_layernorm") })
            {
                Linear[] consumers = [.. block.Linears.Where(linear => DecoderBlock.InputOf(linear.Module.Type) == input_)];
                double[] scales = Scales(found[(block.Layer, input_)].Maximum, LargestOf(consumers), Alpha);
                folds.Add(Folds.IntoNorm(norm, consumers, scales));
            }
        return new FoldedModel(folded, folds);
    }

    private static double[] LargestOf(Linear[] linears) => Torch.Run(() =>
        cat([.. linears.Select(linear => linear.Weight.Tensor.abs())], 0).amax([0L]).to(ScalarType.Float64).cpu().data<double>().ToArray());
}
