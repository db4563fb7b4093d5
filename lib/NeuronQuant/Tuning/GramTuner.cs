using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>
/// AutoRound's signed descent on one layer at a time: minimises tr((W^-W) H (W^-W)^T), the layer's output error, through the Gram matrix of
/// its inputs. For models whose blocks are too large to tune on a CPU.
/// </summary>
/// <remarks>
/// The gradient is 2 (W^-W) H: one multiplication of [out, in] by [in, in] an iteration, however many tokens there were. It is another
/// objective than AutoRound's: a layer does not see what the others in its block did, nor the errors of the blocks before. On the other
/// hand the loss is that of all tokens, so the best iteration is chosen without noise, and the result is never worse than rounding to nearest.
/// </remarks>
public static class GramTuner
{
    /// <summary>What reports and records call the method.</summary>
    public const string Method = "gram";

    /// <summary>Tunes all given modules of a model.</summary>
    /// <param name="model">the model in floating point; it is not changed</param>
    /// <param name="grids">grid of each module, see <see cref="TuningGrids"/></param>
    /// <param name="grams">from <see cref="GramMatrix.Capture"/></param>
    /// <param name="recipe">iterations and rate; null for <see cref="TuningRecipe.Default"/></param>
    /// <param name="progress">told the modules done and their number</param>
    /// <param name="cancellation">checked before each iteration</param>
    public static LayerTuningResult Tune(
        LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, IReadOnlyDictionary<ModuleName, GramMatrix> grams, TuningRecipe? recipe = null,
        Action<long, long>? progress = null, CancellationToken cancellation = default) =>
        LayerTuningResult.Of(Method, model, grids, grams, (weight, gram, grid) => Tune(weight, gram, grid, recipe, cancellation).Weight, progress, cancellation);

    /// <summary>Tunes one weight.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="gram">of its inputs, [in, in]</param>
    /// <param name="grid">nxd or autoround</param>
    /// <param name="recipe">iterations and rate; null for <see cref="TuningRecipe.Default"/></param>
    /// <param name="cancellation">checked before each iteration</param>
    /// <returns>the best codes, and the loss of each iteration before its step</returns>
    public static (QuantizedWeight Weight, IReadOnlyList<double> Losses) Tune(
        WeightMatrix weight, GramMatrix gram, Grid grid, TuningRecipe? recipe = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(gram);
        if (weight.Columns != gram.Size)
            throw new TuningException(weight.Name, $"has {weight.Columns} inputs, its Gram matrix {gram.Size}. Capture the matrix of this module.");
        recipe ??= TuningRecipe.Default;
        recipe.Check();
        float[] original = weight.ToArray(), errors = new float[original.Length], gradient = new float[original.Length];
        var learned = new LearnedWeight(weight.Name, original, weight.Rows, weight.Columns, grid);
        var (losses, best) = (new double[recipe.Iterations], double.PositiveInfinity);
        for (int iteration = 0; iteration < losses.Length; iteration++)
        {
            cancellation.ThrowIfCancellationRequested();
            learned.Quantize(errors);
            VectorMath.AddScaled(errors, original, -1);
            MatrixMultiply.Forward(errors, gram.Values, gradient, weight.Rows, gram.Size, gram.Size);
            double loss = losses[iteration] = Product(errors, gradient);
            if (loss < best)
            {
                learned.KeepBest();
                best = loss;
            }
            learned.Step(gradient, (float)recipe.RateAt(iteration, grid.Bits)); // The factor 2 does not change a sign.
        }
        return (learned.Best, losses);
    }

    private static double Product(float[] a, float[] b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++) sum += (double)a[i] * b[i];
        return sum;
    }
}
