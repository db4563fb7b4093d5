using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

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
/// Memory: one block, for learning 2.25 blocks in float32 and one in the compute type with its gradient, and two float32 hidden states a token.
/// </remarks>
public static class AutoRound
{
    /// <summary>What reports and records call the method.</summary>
    public const string Method = "autoround";

    /// <summary>Tunes every block of a model in memory.</summary>
    /// <inheritdoc cref="Tune(ModelWalk, IReadOnlyDictionary{ModuleName, Grid}, CalibrationSet, TuningRecipe, TuningRules, string, Action{TuningStep}, CancellationToken)"/>
    public static TuningResult Tune(
        LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, CalibrationSet calibration, TuningRecipe? recipe = null, TuningRules? rules = null,
        string? stateFolder = null, Action<TuningStep>? progress = null, CancellationToken cancellation = default) =>
        Tune(ModelWalk.Of(model), grids, calibration, recipe, rules, stateFolder, progress, cancellation);

    /// <summary>Tunes every block, one at a time.</summary>
    /// <param name="model">the model in floating point; it is not changed</param>
    /// <param name="grids">grid of each module, see <see cref="TuningGrids"/></param>
    /// <param name="calibration">token sequences; at most the recipe's number is used</param>
    /// <param name="recipe">null for <see cref="TuningRecipe.Default"/></param>
    /// <param name="rules">another loss, rounding or update; null for AutoRound's own</param>
    /// <param name="stateFolder">where each finished block is kept, so that the same call goes on after a stop; null for nowhere</param>
    /// <param name="progress">told each iteration; null for none</param>
    /// <param name="cancellation">checked before each iteration; finished blocks stay in the state folder</param>
    /// <exception cref="TuningException">the state folder is of another run, or something cannot be tuned</exception>
    public static TuningResult Tune(
        ModelWalk model, IReadOnlyDictionary<ModuleName, Grid> grids, CalibrationSet calibration, TuningRecipe? recipe = null, TuningRules? rules = null,
        string? stateFolder = null, Action<TuningStep>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(grids);
        ArgumentNullException.ThrowIfNull(calibration);
        (recipe, rules) = (recipe ?? TuningRecipe.Default, rules ?? new TuningRules());
        recipe.Check();
        CheckModules(model, grids);
        int count = Math.Min(recipe.Samples, calibration.Count), batch = Math.Min(count, recipe.BatchSize);
        var state = stateFolder is null ? null : TuningState.Open(stateFolder, TuningKey.Of(model, grids, calibration, recipe, rules));
        using var original = model.Embed([.. calibration.Tokens.Take(count)]);
        using var quantized = Torch.Run(() => original.clone());
        using var counted = Torch.Run(() => tensor([.. calibration.Counted.Take(count).SelectMany(mask => mask).Select(value => value ? 1f : 0f)]).view(count, -1, 1));
        var blocks = new List<BlockTuning>();
        foreach (var block in model.Blocks)
        {
            model.Forward(block, original, batch, cancellation: cancellation);
            var own = grids.Where(pair => pair.Key.Layer == block.Layer).ToDictionary();
            var task = new BlockTask(block, model.Rotary, own, quantized, original, counted, recipe, rules);
            var tuning = state?.Read(block, own) ?? Tune(task, model.Config.LayerCount, progress, cancellation);
            state?.Write(tuning);
            blocks.Add(tuning);
            Torch.Run(() => model.Forward(block.With(tuning.Weights), quantized, batch, cancellation: cancellation));
            Torch.Trim();
        }
        return new TuningResult(Method, recipe, blocks);
    }

    private static BlockTuning Tune(BlockTask task, int layers, Action<TuningStep>? progress, CancellationToken cancellation)
    {
        if (task.Grids.Count == 0) return new BlockTuning(task.Block.Layer, new Dictionary<ModuleName, QuantizedWeight>(), [], 0, 0, 0);
        Action<int, double>? report = progress is null ? null
            : (iteration, loss) => progress(new TuningStep(task.Block.Layer, layers, iteration, task.Recipe.Iterations, loss));
        return BlockTuner.Tune(task, report, cancellation);
    }

    private static void CheckModules(ModelWalk model, IReadOnlyDictionary<ModuleName, Grid> grids)
    {
        if (grids.Count == 0) throw new TuningException("grids", "name no module to tune. Make them with TuningGrids.Of(plan).");
        if (grids.Keys.FirstOrDefault(module => module.Layer is not int layer || layer >= model.Config.LayerCount || !ModuleName.LinearTypes.Contains(module.Type)) is { } unknown)
            throw new TuningException(unknown.Name, "is no linear module of a block of this model, so it cannot be tuned. Make the grids from this model's plan.");
    }
}
