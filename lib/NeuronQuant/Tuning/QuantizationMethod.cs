using NeuronQuant.Checkpoints;
using NeuronQuant.Evaluation;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>One row of the blog's table: a way to make integers for a model, and what its linear weights then hold.</summary>
/// <param name="Name">all, AutoRound, selective, AutoRound + selective, or GPTQ</param>
/// <param name="AverageBits">mean width of the linear weights: the grid's bits, and 16 where a module is kept; scales not counted</param>
/// <param name="Make">makes the model that the device would multiply by; it may take minutes</param>
public sealed record QuantizationMethod(string Name, double AverageBits, Func<LlamaModel> Make);

/// <summary>The quantized rows of the blog's table, and GPTQ, on one grid: what is compared differs in the integers and in what is kept, in nothing else.</summary>
/// <remarks>
/// all rounds every linear module to nearest; selective keeps some in bf16 and rounds the others; AutoRound and GPTQ quantize the modules of
/// "all" with integers of their own, AutoRound + selective those of "selective". An untied lm_head that is not kept is rounded to nearest in every row,
/// since no block output depends on it. Nothing is made before it is asked for.
/// </remarks>
public static class QuantizationMethods
{
    /// <summary>The five rows, in the order of the blog and GPTQ last.</summary>
    /// <param name="model">the model in floating point; it is not changed</param>
    /// <param name="grid">nxd, at any width</param>
    /// <param name="modulesToNotConvert">what selective keeps, as NxDI takes it</param>
    /// <param name="calibration">texts that no model is graded on</param>
    /// <param name="recipe">AutoRound's; null for <see cref="TuningRecipe.Default"/></param>
    /// <param name="progress">told each iteration of AutoRound; null for none</param>
    /// <param name="cancellation">checked while making a row</param>
    /// <exception cref="QuantizationException">an entry is unsafe or matches nothing</exception>
    public static IReadOnlyList<QuantizationMethod> Of(LlamaModel model, Grid grid, IReadOnlyList<string> modulesToNotConvert, CalibrationSet calibration,
        TuningRecipe? recipe = null, Action<TuningStep>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(grid);
        ArgumentNullException.ThrowIfNull(calibration);
        LlamaModel Rounded(IReadOnlyList<string> kept) => QuantizedCopy.RoundToNearest(model, grid, kept);
        LlamaModel Learned(IReadOnlyList<string> kept)
        {
            var copy = Rounded(kept);
            AutoRound.Tune(model, Grids(model, grid, kept), calibration, recipe, progress: progress, cancellation: cancellation).ApplyTo(copy);
            return copy;
        }
        LlamaModel FedBack()
        {
            var copy = Rounded([]);
            Gptq.Tune(model, Grids(model, grid, []), GramMatrix.Capture(model, calibration, cancellation: cancellation), cancellation: cancellation).ApplyTo(copy);
            return copy;
        }
        double some = Bits(model, grid, modulesToNotConvert);
        return
        [
            new("all", grid.Bits, () => Rounded([])), new("AutoRound", grid.Bits, () => Learned([])), new("selective", some, () => Rounded(modulesToNotConvert)),
            new("AutoRound + selective", some, () => Learned(modulesToNotConvert)), new("GPTQ", grid.Bits, FedBack),
        ];
    }

    private static QuantizationPlan Plan(LlamaModel model, Grid grid, IReadOnlyList<string> kept) => QuantizationPlan.Create(
        QuantizationPlan.LinearModules(model.Config), model.Config.TieWordEmbeddings, grid.Format, Granularity.PerChannelSymmetric, kept);

    private static IReadOnlyDictionary<ModuleName, Grid> Grids(LlamaModel model, Grid grid, IReadOnlyList<string> kept) => TuningGrids.Of(Plan(model, grid, kept), grid);

    private static double Bits(LlamaModel model, Grid grid, IReadOnlyList<string> kept)
    {
        var plan = Plan(model, grid, kept);
        var linears = model.Linears.ToArray();
        return linears.Sum(linear => (double)linear.Out * linear.In * (plan[linear.Module] == Format.Bf16 ? 16 : grid.Bits))
            / linears.Sum(linear => (double)linear.Out * linear.In);
    }
}
