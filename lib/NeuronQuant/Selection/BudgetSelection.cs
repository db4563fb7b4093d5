using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Sensitivity;

namespace NeuronQuant.Selection;

/// <summary>The modules that stay in bf16 under a budget, so that the sum of the others' scores is the least possible.</summary>
/// <remarks>
/// Each linear module costs one byte a weight and four a channel when quantized, two bytes a weight when kept. The choice is exact for the
/// sum of scores (AutoScheme's problem, auto-round delta_loss.py:1291-1371, with two options instead of many). That scores add up is an
/// assumption: measure the chosen set again with <see cref="ModelScores.DivergenceOf"/>.
/// Tied: q, k and v of a layer stay or go together, and so do gate and up, since runtimes fuse them; it also keeps entries short.
/// </remarks>
/// <param name="Selection">the choice, with its entries for modules_to_not_convert</param>
/// <param name="Scores">the score that was minimised</param>
/// <param name="LostScore">sum of the scores of the modules that are quantized</param>
/// <param name="TotalScore">sum of all scores: what is lost when everything is quantized</param>
/// <param name="Bytes">bytes of all linear modules under this choice, scales included</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record BudgetSelection(ModuleSelection Selection, ModuleScores Scores, double LostScore, double TotalScore, long Bytes)
{
    /// <summary>Chooses under a number of bytes for all linear modules, scales included.</summary>
    /// <param name="profile">shapes of the linear modules</param>
    /// <param name="scores">what each module loses when quantized; modules without a value are quantized</param>
    /// <param name="bytes">budget; between all quantized and all in bf16</param>
    /// <param name="tied">whether q, k, v and gate, up go together</param>
    /// <exception cref="ArgumentException">the budget is below the size of the quantized modules, or the scores do not add up</exception>
    public static BudgetSelection ByBytes(ModelProfile profile, ModuleScores scores, long bytes, bool tied = true)
    {
        ArgumentNullException.ThrowIfNull(profile);
        return Choose(profile, scores, bytes - profile.Linear.Sum(QuantizedBytes), entry => 2 * entry.Parameters - QuantizedBytes(entry), tied,
            FormattableString.Invariant($"{scores.Name} within {bytes / 1e9:0.###} GB"));
    }

    /// <summary>Chooses under an average width of the linear weights, 8 to 16 bits, scales not counted.</summary>
    /// <param name="profile">shapes of the linear modules</param>
    /// <param name="scores">what each module loses when quantized; modules without a value are quantized</param>
    /// <param name="bits">largest average</param>
    /// <param name="tied">whether q, k, v and gate, up go together</param>
    /// <exception cref="ArgumentException">bits is below 8, or the scores do not add up</exception>
    public static BudgetSelection ByAverageBits(ModelProfile profile, ModuleScores scores, double bits, bool tied = true)
    {
        ArgumentNullException.ThrowIfNull(profile);
        if (!double.IsFinite(bits)) throw new ArgumentException($"{bits} bits: give an average between 8 and 16.", nameof(bits));
        return Choose(profile, scores, (long)Math.Floor((bits - 8) / 8 * profile.Linear.Sum(entry => entry.Parameters)), entry => entry.Parameters, tied,
            FormattableString.Invariant($"{scores.Name} within {bits:0.##} bits on average"));
    }

    /// <summary>Every score against the choice: kept modules stand out.</summary>
    public DataFrame ToDataFrame()
    {
        var kept = Selection.Kept.ToHashSet();
        string title = FormattableString.Invariant($"{Selection.Rule}: {Selection.Kept.Count} modules stay in bf16, {Percent:0.0} % of the score is lost");
        return Frames.From(title, Scores.Values.OrderByDescending(pair => pair.Value), ("module", pair => pair.Key.Name),
                (new Column($"{Scores.Name} ({Scores.Unit})", "0.000e+0"), pair => pair.Value), ("stays in bf16", pair => kept.Contains(pair.Key) ? "yes" : ""))
            .Mark(row => row[2] is "yes");
    }

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The selection, and what it loses.</summary>
    public override string ToString() => FormattableString.Invariant(
        $"{Selection}\n{LostScore:0.###E+0} of {TotalScore:0.###E+0} {Scores.Unit} are lost ({Percent:0.0} %), {Bytes / 1e9:0.######} GB");

    private double Percent => TotalScore > 0 ? 100 * LostScore / TotalScore : 0;

    private static BudgetSelection Choose(ModelProfile profile, ModuleScores scores, long extra, Func<ModuleMetrics, long> cost, bool tied, string rule)
    {
        if (!scores.AddsUp)
            throw new ArgumentException($"{scores.Name} ranks modules but does not add up, so no budget can be shared out by it. Use an error or a divergence.", nameof(scores));
        if (extra < 0) throw new ArgumentException($"the budget is {-extra} bytes below the linear modules in 8 bits. Allow more.", nameof(extra));
        if (scores.Values.FirstOrDefault(pair => !(pair.Value >= 0) || double.IsInfinity(pair.Value)) is { Key: { } module } bad)
            throw new ArgumentException($"{scores.Name} of {module} is {bad.Value}; a loss is finite and not negative. Measure it again.", nameof(scores));
        var groups = profile.Linear.Where(entry => scores.Values.ContainsKey(entry.Module))
            .GroupBy(entry => tied ? Tie(entry.Module) : entry.Module.Name).Select(group => group.ToArray()).ToArray();
        var chosen = Knapsack.Choose(
            [.. groups.Select(group => new KnapsackItem(group.Sum(entry => scores[entry.Module]), group.Sum(cost)))], extra);
        var kept = chosen.SelectMany(i => groups[i]).OrderByDescending(entry => scores[entry.Module]).ToArray();
        var modules = kept.Select(entry => entry.Module).ToHashSet();
        double Sum(Func<ModuleName, bool> counts) => groups.SelectMany(group => group).Where(entry => counts(entry.Module)).Sum(entry => scores[entry.Module]);
        return new BudgetSelection(Select.Build(profile, rule, kept), scores, Sum(module => !modules.Contains(module)), Sum(_ => true),
            profile.Linear.Sum(entry => modules.Contains(entry.Module) ? 2 * entry.Parameters : QuantizedBytes(entry)));
    }

    private static long QuantizedBytes(ModuleMetrics entry) => entry.Parameters + sizeof(float) * (long)entry.Rows;

    private static string Tie(ModuleName module) => module.Type switch
    {
        "self_attn.q_proj" or "self_attn.k_proj" or "self_attn.v_proj" => $"layers.{module.Layer}.qkv",
        "mlp.gate_proj" or "mlp.up_proj" => $"layers.{module.Layer}.gate_up",
        _ => module.Name,
    };
}
