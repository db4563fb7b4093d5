using NeuronQuant.Quantization;

namespace NeuronQuant.Sensitivity;

/// <summary>A number that says how much a module may suffer from quantization, seen from its weights alone.</summary>
/// <remarks>
/// The list is open: five come from one fused pass (<see cref="ModuleMetrics"/> has their formulas), and a reader's own is a function of a weight.
/// Given to <see cref="ModelProfile.Measure"/> it stands in the profile's tables, charts, selections and scores beside the others.
/// </remarks>
public sealed class Metric
{
    /// <summary>The blog's: mean variance of a channel.</summary>
    public static readonly Metric OutlierMagnitude = new("outlier_magnitude", "squared weight units", m => m.OutlierMagnitude) { SpansDecades = true, AddsUp = true };

    /// <summary>Mean of max|w|/rms of a channel.</summary>
    public static readonly Metric CrestFactor = new("crest_factor", "max / rms", m => m.CrestFactor);

    /// <summary>Mean fourth standardized moment of a channel.</summary>
    public static readonly Metric Kurtosis = new("kurtosis", "normal = 3", m => m.Kurtosis);

    /// <summary>Mean squared error of int8 per channel.</summary>
    public static readonly Metric Int8Mse = new("int8_mse", "squared weight units", m => m.Int8Mse) { SpansDecades = true, AddsUp = true, IsPerWeight = true };

    /// <summary>Signal to quantization noise of int8 per channel, dB.</summary>
    public static readonly Metric Int8Sqnr = new("int8_sqnr", "dB", m => m.Int8Sqnr) { HigherIsWorse = false };

    private readonly Func<ModuleMetrics, double?> _read;

    private Metric(string name, string unit, Func<ModuleMetrics, double?> read) => (Name, Unit, _read) = (name, unit, read);

    /// <summary>Those that every profile has.</summary>
    public static IReadOnlyList<Metric> All { get; } = [OutlierMagnitude, CrestFactor, Kurtosis, Int8Mse, Int8Sqnr];

    /// <summary>The name used on the command line and in JSON.</summary>
    public string Name { get; }

    /// <summary>The unit, for an axis.</summary>
    public string Unit { get; }

    /// <summary>True when a larger value means that more is lost.</summary>
    public bool HigherIsWorse { get; private init; } = true;

    /// <summary>Whether it is drawn on a logarithmic axis.</summary>
    public bool SpansDecades { get; private init; }

    /// <summary>Whether a sum over modules means something: what all of them lose together.</summary>
    public bool AddsUp { get; private init; }

    /// <summary>Whether it is a mean over weights, so that a module's part of a sum is this times its number of weights.</summary>
    public bool IsPerWeight { get; private init; }

    /// <summary>What is measured beside the fused pass; null for those that it gives.</summary>
    internal Func<WeightMatrix, double?>? Measure { get; private init; }

    /// <summary>A metric of the reader's own, in a line of a cell.</summary>
    /// <param name="name">lower case with underscores</param>
    /// <param name="unit">for an axis</param>
    /// <param name="measure">its value for a weight [out, in]; null where it is not defined. Called once for each weight, from one thread</param>
    /// <param name="higherIsWorse">false when a larger value means that less is lost</param>
    /// <param name="spansDecades">true for a logarithmic axis; values must then be positive</param>
    /// <exception cref="ArgumentException">the name belongs to a metric of the library</exception>
    public static Metric Of(string name, string unit, Func<WeightMatrix, double?> measure, bool higherIsWorse = true, bool spansDecades = false)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (All.Any(metric => metric.Name == name)) throw new ArgumentException($"'{name}' is a metric of the library. Give yours another name.", nameof(name));
        return new Metric(name, unit, module => module.Own.TryGetValue(name, out double? value) ? value
            : throw new ArgumentException($"{module.Module}: '{name}' was not measured. Give it to ModelProfile.Measure.", nameof(name)))
        {
            Measure = measure,
            HigherIsWorse = higherIsWorse,
            SpansDecades = spansDecades,
        };
    }

    /// <summary>
    /// Signal to quantization noise of rounding to nearest on any grid, dB: 10 log10(sum w^2 / sum (w - w^)^2). Measured beside the fused pass,
    /// which has only NxDI's int8.
    /// </summary>
    public static Metric Sqnr(Grid grid) =>
        Of($"sqnr_{Slug(grid)}", "dB", weight => QuantizationError.OfRounding(weight, grid).Sqnr, higherIsWorse: false);

    /// <summary>Mean squared error of rounding to nearest on any grid, in squared weight units.</summary>
    public static Metric Mse(Grid grid) =>
        Of($"mse_{Slug(grid)}", "squared weight units", weight => QuantizationError.OfRounding(weight, grid).MeanSquared, spansDecades: true);

    private static string Slug(Grid grid) => $"{grid.Name}_{grid.Bits}bit{(grid.GroupSize is { } size ? $"_g{size}" : "")}";

    /// <summary>Reads a name; the error lists those there are.</summary>
    /// <exception cref="ArgumentException">no metric has that name</exception>
    public static Metric Parse(string name) => All.FirstOrDefault(metric => metric.Name == name)
        ?? throw new ArgumentException($"'{name}' is not a metric. Use {string.Join(", ", All.Select(metric => metric.Name))}.", nameof(name));

    /// <summary>The value for a module; null where it is not defined.</summary>
    internal double? Read(ModuleMetrics module) => _read(module);

    /// <summary>The name.</summary>
    public override string ToString() => Name;
}
