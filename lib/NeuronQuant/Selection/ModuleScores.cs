using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using Plotly.NET;
using NeuronQuant.Sensitivity;

namespace NeuronQuant.Selection;

/// <summary>One number for each linear module: what is lost when it is quantized, by some measure. Higher is worse.</summary>
/// <remarks>
/// A budget adds scores up, which only makes sense for a measure of loss (an error, a divergence). Crest factor, kurtosis and SQNR rank
/// modules but do not add up; see <see cref="AddsUp"/>. SQNR is turned round, so that here too higher is worse.
/// </remarks>
/// <param name="Name">the measure</param>
/// <param name="Unit">its unit</param>
/// <param name="Values">one value a module; a module without one is never chosen</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record ModuleScores(string Name, string Unit, IReadOnlyDictionary<ModuleName, double> Values)
{
    /// <summary>True when the sum over modules means something: what all of them lose together, to first order.</summary>
    public bool AddsUp { get; init; } = true;

    /// <summary>The value of a module.</summary>
    public double this[ModuleName module] => Values[module];

    /// <summary>The linear modules of a profile by one of its metrics, seen from weights alone. A mean over weights is multiplied by their number.</summary>
    public static ModuleScores Of(ModelProfile profile, Metric metric)
    {
        ArgumentNullException.ThrowIfNull(profile);
        double Value(ModuleMetrics entry) => (metric.HigherIsWorse ? 1 : -1) * entry[metric]!.Value * (metric.IsPerWeight ? entry.Parameters : 1);
        return new ModuleScores(metric.Name, metric.Unit, profile.Linear.Where(entry => entry[metric] is not null).ToDictionary(entry => entry.Module, Value))
        {
            AddsUp = metric.AddsUp,
        };
    }

    /// <summary>A row for each module, the worst first.</summary>
    public DataFrame ToDataFrame() => Frames.From(Name, Values.OrderByDescending(pair => pair.Value),
        ("module", pair => pair.Key.Name), (new Column($"{Name} ({Unit})", "0.000e+0"), pair => pair.Value));

    /// <summary>A line over the layers for each module type.</summary>
    public GenericChart ToChart()
    {
        var types = Values.Keys.Where(module => module.Layer is not null).GroupBy(module => module.Type).OrderBy(type => type.First() with { Layer = 0 });
        var chart = Charts.Together(types.Select(type => Charts.Line(type.Key, type.Order().Select(module => module.Layer!.Value), type.Order().Select(module => Values[module]))))
            .Titled($"{Name} by layer").Axes("layer", $"{Name} ({Unit})");
        return Values.Values.All(value => value > 0) ? chart.LogY() : chart;
    }

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The table as text.</summary>
    public override string ToString() => ToDataFrame().ToText();
}
