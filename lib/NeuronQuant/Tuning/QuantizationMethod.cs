using NeuronQuant.Methods;
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
        var input = new MethodInput(calibration, (recipe ?? TuningRecipe.Default).Seed, cancellation);
        var learned = new AutoRoundMethod(recipe, progress);
        QuantizationMethod Row(string name, string method, bool selective)
        {
            var grids = ModelGrids.Of(model.Config, grid, selective ? modulesToNotConvert : []);
            return new(name, ModelGrids.AverageBits(model, grids), () =>
                MethodRegistry.Parse(method, learned).Method.Apply(model, grids, input).ToModel());
        }
        return
        [
            Row("all", "rtn", false), Row("AutoRound", "autoround", false), Row("selective", "rtn", true),
            Row("AutoRound + selective", "autoround", true), Row("GPTQ", "gptq", false),
        ];
    }
}
