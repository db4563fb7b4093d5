using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Methods;

/// <summary>Which modules of a model are quantized, and on which grid: what a plan means for a method.</summary>
/// <remarks>Unlike the grids of tuning these hold an untied lm_head, which NxDI quantizes as any other linear module.</remarks>
public static class ModelGrids
{
    /// <summary>The grid of every module that an exclusion list does not keep; a tied head is always kept.</summary>
    /// <param name="config">sizes of the model</param>
    /// <param name="grid">for example Grid.Nxd(bits: 4)</param>
    /// <param name="modulesToNotConvert">entries as NxDI takes them; null for none</param>
    /// <exception cref="QuantizationException">an entry is unsafe or matches nothing</exception>
    public static IReadOnlyDictionary<ModuleName, Grid> Of(ModelConfig config, Grid grid, IReadOnlyList<string>? modulesToNotConvert = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(grid);
        return Of(QuantizationPlan.Create(QuantizationPlan.LinearModules(config), config.TieWordEmbeddings, grid.Format,
            Granularity.PerChannelSymmetric, modulesToNotConvert ?? []), grid);
    }

    /// <summary>The same of a plan.</summary>
    public static IReadOnlyDictionary<ModuleName, Grid> Of(QuantizationPlan plan, Grid grid)
    {
        ArgumentNullException.ThrowIfNull(plan);
        return plan.Modules.Where(module => plan[module] != Format.Bf16).ToDictionary(module => module, _ => grid);
    }

    /// <summary>Mean width of the linear weights: the grid's bits, and 16 where a module is kept; scales not counted.</summary>
    public static double AverageBits(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids)
    {
        ArgumentNullException.ThrowIfNull(model);
        var linears = model.Linears.ToArray();
        return linears.Sum(linear => (double)linear.Out * linear.In * (grids.TryGetValue(linear.Module, out var grid) ? grid.Bits : 16))
            / linears.Sum(linear => (double)linear.Out * linear.In);
    }

    /// <summary>Those of the modules within blocks: what tuning knows.</summary>
    internal static IReadOnlyDictionary<ModuleName, Grid> OfBlocks(IReadOnlyDictionary<ModuleName, Grid> grids) =>
        grids.Where(pair => pair.Key.Layer is not null).ToDictionary();
}
