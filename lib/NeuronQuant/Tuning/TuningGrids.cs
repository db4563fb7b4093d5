using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>Which modules are tuned, and each one's grid: what a plan means for tuning.</summary>
/// <remarks>
/// Only the linear modules of decoder blocks are tuned. lm_head and the embeddings are not: no block output depends on them. A planned
/// lm_head is rounded to nearest by the writer, as auto-round does it too. Modules that the plan keeps stay in floating point.
/// </remarks>
public static class TuningGrids
{
    /// <summary>The grid of every module to tune.</summary>
    /// <param name="plan">int8 per channel</param>
    /// <param name="grid">nxd (null), whose integers NxDI keeps, or autoround</param>
    /// <param name="bits">another width for some modules, 2 to 8; null for none</param>
    /// <exception cref="TuningException">the plan cannot be tuned, or bits names a module that is not tuned</exception>
    public static IReadOnlyDictionary<ModuleName, Grid> Of(QuantizationPlan plan, Grid? grid = null, IReadOnlyDictionary<ModuleName, int>? bits = null)
    {
        ArgumentNullException.ThrowIfNull(plan);
        grid ??= Grid.Nxd();
        if (plan.Format != Format.Int8 || plan.Granularity != Granularity.PerChannelSymmetric)
            throw new TuningException("plan",
                $"is {plan.Format.NxdiName()} {plan.Granularity.NxdiName()}; only int8 per_channel_symmetric codes are tuned. Make the plan so.");
        var grids = plan.Modules.Where(module => module.Layer is not null && plan[module] != Format.Bf16)
            .ToDictionary(module => module, module => bits is not null && bits.TryGetValue(module, out int width) ? Grid.Parse(grid.Name, width) : grid);
        if (grids.Count == 0) throw new TuningException("plan", "keeps every linear module of every block in bf16, so there is nothing to tune.");
        if (bits?.Keys.FirstOrDefault(module => !grids.ContainsKey(module)) is { } unknown)
            throw new TuningException(unknown.Name, "has a width but is not tuned: the plan keeps it, or the model has no such module. Take it out of the list.");
        return grids;
    }
}
