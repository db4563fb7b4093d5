using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>Everything needed to tune one decoder block.</summary>
/// <param name="Config">sizes of the model</param>
/// <param name="Block">the block in floating point; not to be changed</param>
/// <param name="Rotary">the model's rotary embedding</param>
/// <param name="Grids">the grid of each linear module of the block that is tuned; the others stay as they are</param>
/// <param name="Inputs">what the quantized model gives the block: [sequences][length * hidden]</param>
/// <param name="Targets">what the floating-point model makes of its own inputs: [sequences][length * hidden]</param>
/// <param name="Counted">positions that count: [sequences][length]</param>
/// <param name="Length">tokens of each sequence</param>
/// <param name="Recipe">iterations, rate, batches</param>
public sealed record BlockTask(
    ModelConfig Config, DecoderBlock Block, RotaryEmbedding Rotary, IReadOnlyDictionary<ModuleName, Grid> Grids, IReadOnlyList<float[]> Inputs,
    IReadOnlyList<float[]> Targets, IReadOnlyList<bool[]> Counted, int Length, TuningRecipe Recipe);

/// <summary>What tuning made of one block.</summary>
/// <param name="Layer">number of the block</param>
/// <param name="Weights">codes and scales of each tuned module</param>
/// <param name="Losses">minibatch loss of each iteration, before its step; the first is that of rounding to nearest</param>
/// <param name="BestIteration">the iteration whose codes were kept</param>
/// <param name="RoundedLoss">loss of rounding to nearest on all calibration sequences</param>
/// <param name="TunedLoss">loss of the kept codes on all calibration sequences</param>
public sealed record BlockTuning(
    int Layer, IReadOnlyDictionary<ModuleName, QuantizedWeight> Weights, IReadOnlyList<double> Losses, int BestIteration, double RoundedLoss, double TunedLoss);

/// <summary>Tunes one decoder block. The managed kernels do it on a CPU; another implementation may do it on another device.</summary>
public interface IBlockTuner
{
    /// <summary>What computes, for reports; also part of the key of a saved state, since another device rounds otherwise.</summary>
    string Name { get; }

    /// <summary>Tunes one block.</summary>
    /// <param name="task">block, data and recipe</param>
    /// <param name="report">told each iteration and its loss; null for none</param>
    /// <param name="cancellation">checked before each iteration</param>
    BlockTuning Tune(BlockTask task, Action<int, double>? report = null, CancellationToken cancellation = default);
}
