using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>Which modules are tuned, and each one's grid: what a plan means for tuning.</summary>
/// <remarks>
/// Only the linear modules of decoder blocks are tuned. lm_head and the embeddings are not: no block output depends on them. A planned
/// lm_head is rounded to nearest by the writer, as auto-round does it too. Modules that the plan keeps stay in floating point.
/// A module may have another grid than the rest, of another width for one: put it in the dictionary.
/// </remarks>
public static class TuningGrids
{
    /// <summary>The grid of every module to tune.</summary>
    /// <param name="plan">int8 per channel</param>
    /// <param name="grid">nxd (null), whose integers NxDI keeps, or autoround</param>
    /// <exception cref="TuningException">the plan cannot be tuned</exception>
    public static IReadOnlyDictionary<ModuleName, Grid> Of(QuantizationPlan plan, Grid? grid = null)
    {
        ArgumentNullException.ThrowIfNull(plan);
        grid ??= Grid.Nxd();
        if (plan.Format != Format.Int8 || plan.Granularity != Granularity.PerChannelSymmetric)
            throw new TuningException("plan",
                $"is {plan.Format.NxdiName()} {plan.Granularity.NxdiName()}; only int8 per_channel_symmetric codes are tuned. Make the plan so.");
        var grids = plan.Modules.Where(module => module.Layer is not null && plan[module] != Format.Bf16)
            .ToDictionary(module => module, _ => grid);
        return grids.Count > 0 ? grids : throw new TuningException("plan", "keeps every linear module of every block in bf16, so there is nothing to tune.");
    }
}
