using NeuronQuant.Quantization;
using NeuronQuant.Sensitivity;

namespace NeuronQuant.Selection;

/// <summary>
/// Ways to choose the modules that stay in bf16. The blog's is a threshold on outlier magnitude; top-k takes the worst by any metric; a
/// list resolves entries that somebody else chose.
/// </summary>
/// <remarks>
/// A threshold on a metric is a proxy for accuracy, and outlier magnitude is not even invariant to scaling a weight, so look at the
/// profile first. Norms and embeddings are always bf16 in NxDI and are never part of a selection.
/// </remarks>
public static class Select
{
    /// <summary>Every linear module on the bad side of a threshold: above it, or below it for SQNR. A module without a value is not chosen.</summary>
    public static ModuleSelection ByThreshold(ModelProfile profile, Metric metric, double threshold)
    {
        if (!double.IsFinite(threshold)) throw new ArgumentException($"The threshold is {threshold}; give a finite value in {metric.Unit}.", nameof(threshold));
        bool higher = metric.HigherIsWorse;
        return Build(profile, FormattableString.Invariant($"{metric.Name} {(higher ? "above" : "below")} {threshold:G4}"),
            profile.Linear.Where(entry => entry[metric] is { } value && (higher ? value > threshold : value < threshold)));
    }

    /// <summary>The k linear modules that are worst by a metric; ties go to the earlier module.</summary>
    public static ModuleSelection Top(ModelProfile profile, Metric metric, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        double sign = metric.HigherIsWorse ? -1 : 1;
        return Build(profile, $"the {count} worst by {metric.Name}",
            profile.Linear.Where(entry => entry[metric] is not null).OrderBy(entry => sign * entry[metric]!.Value).Take(count));
    }

    /// <summary>A list of entries, resolved as NxDI would under both naming schemes.</summary>
    /// <exception cref="QuantizationException">an entry matches nothing or is unsafe</exception>
    public static ModuleSelection ByEntries(ModelProfile profile, params string[] entries)
    {
        var modules = profile.Linear.Select(entry => entry.Module).ToArray();
        var kept = Exclusions.Resolve(entries, modules);
        return Build(profile, "a given list", profile.Linear.Where(entry => kept.Contains(entry.Module))) with
        {
            Entries = entries,
            Preview = Exclusions.Preview(entries, modules),
        };
    }

    internal static ModuleSelection Build(ModelProfile profile, string rule, IEnumerable<ModuleMetrics> chosen)
    {
        var modules = profile.Linear.Select(entry => entry.Module).ToArray();
        var ranked = chosen.ToArray();
        var kept = ranked.OrderBy(entry => entry.Module).ToArray();
        var entries = Exclusions.EntriesFor(kept.Select(entry => entry.Module), modules);
        return new ModuleSelection(rule, [.. kept.Select(entry => entry.Module)], [.. ranked.Select(entry => entry.Module)], entries, Exclusions.Preview(entries, modules),
            kept.Sum(entry => entry.Parameters), profile.Linear.Sum(entry => entry.Parameters));
    }
}
