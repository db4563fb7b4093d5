using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Tuning;

/// <summary>Everything needed to tune one decoder block.</summary>
/// <param name="Block">the block in floating point; it is not changed</param>
/// <param name="Rotary">the model's rotary embedding</param>
/// <param name="Grids">the grid of each linear module of the block that is tuned; the others stay as they are</param>
/// <param name="Inputs">what the quantized model gives the block, [sequences, length, hidden]</param>
/// <param name="Targets">what the floating-point block makes of its own inputs, [sequences, length, hidden]</param>
/// <param name="Counted">1 at positions that count, else 0: [sequences, length, 1]</param>
/// <param name="Recipe">iterations, rate, batches</param>
/// <param name="Rules">loss, rounding and update</param>
public sealed record BlockTask(DecoderBlock Block, RotaryEmbedding Rotary, IReadOnlyDictionary<ModuleName, Grid> Grids, Tensor Inputs, Tensor Targets, Tensor Counted,
    TuningRecipe Recipe, TuningRules Rules);

/// <summary>What tuning made of one block.</summary>
/// <param name="Layer">number of the block</param>
/// <param name="Weights">codes and scales of each tuned module</param>
/// <param name="Losses">minibatch loss of each iteration, before its step; the first is that of rounding to nearest</param>
/// <param name="BestIteration">the iteration whose codes were kept</param>
/// <param name="RoundedLoss">loss of rounding to nearest on all calibration sequences</param>
/// <param name="TunedLoss">loss of the kept codes on all calibration sequences</param>
public sealed record BlockTuning(
    int Layer, IReadOnlyDictionary<ModuleName, QuantizedWeight> Weights, IReadOnlyList<double> Losses, int BestIteration, double RoundedLoss, double TunedLoss);

/// <summary>AutoRound of one block: forward, loss, backward, a step by the gradient's sign.</summary>
/// <remarks>
/// auto-round algorithms/quantization/sign_round/quantizer.py:311-552. For each iteration t: quantize all weights with their V, alpha and
/// beta; run a minibatch; if its loss is the lowest so far, keep the codes; step by rate_t against the sign of each gradient. The state
/// after the last step is not looked at. Losses of different minibatches are compared, so the choice is noisy: that is the method. The
/// two losses over all sequences, before and after, are what to judge a block by.
/// Left out: momentum, weight decay and gradient accumulation, which auto-round has and leaves off. Weights are not rounded to bf16 after
/// scale * code, since the device multiplies by exactly that.
/// </remarks>
public static class BlockTuner
{
    /// <summary>Tunes one block.</summary>
    /// <param name="task">block, data and recipe</param>
    /// <param name="report">told each iteration and its loss; null for none</param>
    /// <param name="cancellation">checked before each iteration</param>
    /// <exception cref="TuningException">the loss or a weight is not finite, or a grid cannot be tuned on</exception>
    public static BlockTuning Tune(BlockTask task, Action<int, double>? report = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(task);
        task.Recipe.Check();
        using var run = new BlockRun(task);
        Torch.Run(run.Write);
        double rounded = run.LossOfAll(cancellation);
        var (losses, best, bestAt) = (new double[task.Recipe.Iterations], double.PositiveInfinity, 0);
        for (int iteration = 0; iteration < losses.Length; iteration++)
        {
            cancellation.ThrowIfCancellationRequested();
            double loss = losses[iteration] = run.Iterate(iteration, best);
            if (!double.IsFinite(loss))
                throw new TuningException($"layers.{task.Block.Layer}",
                    $"the loss is {loss} at iteration {iteration}: the calibration data or the weights overflow {task.Block.Place.Type}.");
            if (loss < best) (best, bestAt) = (loss, iteration);
            report?.Invoke(iteration, loss);
        }
        Torch.Run(run.WriteBest);
        return new BlockTuning(task.Block.Layer, Torch.Run(run.Weights), losses, bestAt, rounded, run.LossOfAll(cancellation));
    }
}
