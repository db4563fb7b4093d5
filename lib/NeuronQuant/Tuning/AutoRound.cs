using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>How far a tuning is: which block, which iteration, and that iteration's loss.</summary>
/// <param name="Layer">number of the block</param>
/// <param name="Layers">blocks in all</param>
/// <param name="Iteration">iteration within the block</param>
/// <param name="Iterations">iterations of a block</param>
/// <param name="Loss">minibatch loss</param>
public sealed record TuningStep(int Layer, int Layers, int Iteration, int Iterations, double Loss);

/// <summary>
/// AutoRound over a whole model: learns for each weight whether to round up or down, and for each channel how far to clip, so that every
/// decoder block's output stays near its original's. Integers for the same plan, at no cost when the model runs.
/// </summary>
/// <remarks>
/// Cheng et al., "Optimize weight rounding via signed gradient descent for the quantization of LLMs", 2023; auto-round composer.py:426-483.
/// Two streams of hidden states go through the model. The floating-point one gives each block's target: its output on floating-point
/// inputs. The quantized one gives its input: the output of the blocks before it, already quantized. So each block also repairs what
/// those before it broke. Blocks are tuned one after another, each compared with its own output and never with the model's final one.
/// Memory: the model and one block more in float32, 2.25 blocks for learning, and two hidden states a token.
/// </remarks>
public static class AutoRound
{
    /// <summary>What reports and records call the method.</summary>
    public const string Method = "autoround";

    /// <summary>Tunes every block.</summary>
    /// <param name="model">the model in floating point; it is not changed</param>
    /// <param name="grids">grid of each module, see <see cref="TuningGrids"/></param>
    /// <param name="calibration">token sequences; at most the recipe's number is used</param>
    /// <param name="recipe">null for <see cref="TuningRecipe.Default"/></param>
    /// <param name="tuner">null for the managed kernels</param>
    /// <param name="stateFolder">where each finished block is kept, so that the same call goes on after a stop; null for nowhere</param>
    /// <param name="progress">told each iteration; null for none</param>
    /// <param name="cancellation">checked before each iteration; finished blocks stay in the state folder</param>
    /// <exception cref="TuningException">the state folder is of another run, or something cannot be tuned</exception>
    public static TuningResult Tune(
        LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, CalibrationSet calibration, TuningRecipe? recipe = null, IBlockTuner? tuner = null,
        string? stateFolder = null, Action<TuningStep>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(grids);
        ArgumentNullException.ThrowIfNull(calibration);
        recipe ??= TuningRecipe.Default;
        tuner ??= new ManagedBlockTuner();
        recipe.Check();
        CheckModules(model, grids);
        int count = Math.Min(recipe.Samples, calibration.Count);
        var state = stateFolder is null ? null : TuningState.Open(stateFolder, TuningKey.Of(model, grids, calibration, recipe, tuner));
        var (original, quantized) = (Embed(model, calibration, count), Embed(model, calibration, count));
        var (kept, blocks) = (new BlockActivations(), new List<BlockTuning>());
        foreach (var block in model.Blocks)
        {
            QuantizedBlock.Forward(block, original, calibration.Length, recipe.BatchSize, kept, cancellation);
            var own = grids.Where(pair => pair.Key.Layer == block.Layer).ToDictionary();
            var task = new BlockTask(model.Config, block, model.Rotary, own, quantized, original, calibration.Counted, calibration.Length, recipe);
            var tuning = state?.Read(block, own) ?? Tune(task, tuner, model.Blocks.Count, progress, cancellation);
            state?.Write(tuning);
            blocks.Add(tuning);
            var replaced = QuantizedBlock.Copy(model.Config, block, model.Rotary);
            QuantizedBlock.Apply(replaced, tuning.Weights);
            QuantizedBlock.Forward(replaced, quantized, calibration.Length, recipe.BatchSize, kept, cancellation);
        }
        return new TuningResult(Method, recipe, blocks);
    }

    private static BlockTuning Tune(BlockTask task, IBlockTuner tuner, int layers, Action<TuningStep>? progress, CancellationToken cancellation)
    {
        if (task.Grids.Count == 0) return new BlockTuning(task.Block.Layer, new Dictionary<ModuleName, QuantizedWeight>(), [], 0, 0, 0);
        Action<int, double>? report = progress is null ? null
            : (iteration, loss) => progress(new TuningStep(task.Block.Layer, layers, iteration, task.Recipe.Iterations, loss));
        return tuner.Tune(task, report, cancellation);
    }

    private static float[][] Embed(LlamaModel model, CalibrationSet calibration, int count)
    {
        int hidden = model.Config.HiddenSize;
        var streams = new float[count][];
        for (int i = 0; i < count; i++)
            Embedding.Forward(calibration.Tokens[i], model.Embedding.Values, streams[i] = new float[calibration.Length * hidden], hidden);
        return streams;
    }

    private static void CheckModules(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids)
    {
        var known = model.Blocks.SelectMany(block => block.Linears).Select(linear => ModuleName.Parse(linear.Name)).ToHashSet();
        if (grids.Count == 0) throw new TuningException("grids", "name no module to tune. Make them with TuningGrids.Of(plan).");
        if (grids.Keys.FirstOrDefault(module => !known.Contains(module)) is { } unknown)
            throw new TuningException(unknown.Name, "is no linear module of a block of this model, so it cannot be tuned. Make the grids from this model's plan.");
    }
}
