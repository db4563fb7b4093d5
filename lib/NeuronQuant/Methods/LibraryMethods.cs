using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tuning;

namespace NeuronQuant.Methods;

/// <summary>Rounding to nearest, by rule R1 on a grid that NxDI shares: what every other method is measured against.</summary>
/// <remarks>Sources and arithmetic are in <see cref="FakeQuantization"/> and <see cref="RoundToNearest"/>; the other methods below are essays of
/// their own in Clipping, Hqq, Gptq and AutoRound. Here each only gets the shape of a method.</remarks>
public sealed record RoundToNearestMethod : IQuantizationMethod
{
    /// <inheritdoc/>
    public string Name => "rtn";

    /// <inheritdoc/>
    public MethodNeeds Needs => MethodNeeds.Nothing;

    /// <inheritdoc/>
    public QuantizedModel Apply(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input) =>
        QuantizedModel.Each(Name, model, grids, Round, input.Cancellation);

    internal static QuantizedWeight Round(Linear linear, Grid grid) => FakeQuantization.OnGrid(linear.ToWeightMatrix(), grid);
}

/// <summary>Rounding on a smaller range, chosen for each scale by the error of the weights: see <see cref="Clipping"/>.</summary>
/// <param name="Options">null for GPTQ's search</param>
public sealed record ClippingMethod(ClippingOptions? Options = null) : IQuantizationMethod
{
    /// <inheritdoc/>
    public string Name => "clip";

    /// <inheritdoc/>
    public MethodNeeds Needs => MethodNeeds.Nothing;

    /// <inheritdoc/>
    public QuantizedModel Apply(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input) =>
        QuantizedModel.Each(Name, model, grids,
        (linear, grid) => Clipping.Search(linear.ToWeightMatrix(), grid, Options, input.Cancellation).Weight, input.Cancellation);
}

/// <summary>Learned zero points: see <see cref="Hqq"/>. A symmetric grid is replaced by the asymmetric one of its width, so NxDI cannot load the
/// result.</summary>
/// <param name="Options">null for the authors'</param>
public sealed record HqqMethod(HqqOptions? Options = null) : IQuantizationMethod
{
    /// <inheritdoc/>
    public string Name => "hqq";

    /// <inheritdoc/>
    public MethodNeeds Needs => MethodNeeds.Nothing;

    /// <inheritdoc/>
    public QuantizedModel Apply(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input) =>
        QuantizedModel.Each(Name, model, grids,
        (linear, grid) => Hqq.Quantize(linear.ToWeightMatrix(), WithZeroPoints(grid), Options, input.Cancellation).Weight, input.Cancellation);

    private static Grid WithZeroPoints(Grid grid) => grid.HasZeroPoint ? grid
        : grid.GroupSize is { } size ? Grid.Asymmetric(grid.Bits).InGroups(size) : Grid.Asymmetric(grid.Bits);
}

/// <summary>Error feedback from column to column: see <see cref="Gptq"/>. lm_head, on whose inputs it does not look, is rounded to
/// nearest.</summary>
/// <param name="LargestFirst">whether columns go by descending mean square of their inputs</param>
public sealed record GptqMethod(bool LargestFirst = false) : IQuantizationMethod
{
    /// <inheritdoc/>
    public string Name => LargestFirst ? Gptq.OrderedMethod : Gptq.Method;

    /// <inheritdoc/>
    public MethodNeeds Needs => MethodNeeds.Calibration;

    /// <inheritdoc/>
    public QuantizedModel Apply(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input)
    {
        var grams = GramMatrix.Capture(model, input.Texts(Name), cancellation: input.Cancellation);
        var tuned = Gptq.Tune(model, ModelGrids.OfBlocks(grids), grams, cancellation: input.Cancellation, largestFirst: LargestFirst).Modules.Weights;
        return QuantizedModel.Each(Name, model, grids, (linear, grid) => tuned.GetValueOrDefault(linear.Module)
            ?? RoundToNearestMethod.Round(linear, grid));
    }
}

/// <summary>Learned rounding, a block at a time: see <see cref="AutoRound"/>. lm_head, on which no block's output depends, is rounded to
/// nearest.</summary>
/// <param name="Recipe">null for <see cref="TuningRecipe.Default"/>; its seed is replaced by that of the input</param>
/// <param name="Progress">told each iteration; null for none</param>
public sealed record AutoRoundMethod(TuningRecipe? Recipe = null, Action<TuningStep>? Progress = null) : IQuantizationMethod
{
    /// <inheritdoc/>
    public string Name => AutoRound.Method;

    /// <inheritdoc/>
    public MethodNeeds Needs => MethodNeeds.Calibration;

    /// <inheritdoc/>
    public QuantizedModel Apply(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input)
    {
        var recipe = (Recipe ?? TuningRecipe.Default) with { Seed = input.Seed };
        var tuned = AutoRound.Tune(model, ModelGrids.OfBlocks(grids), input.Texts(Name), recipe, progress: Progress,
            cancellation: input.Cancellation).Modules.Weights;
        return QuantizedModel.Each(Name, model, grids, (linear, grid) => tuned.GetValueOrDefault(linear.Module)
            ?? RoundToNearestMethod.Round(linear, grid));
    }
}
