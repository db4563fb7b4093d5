namespace NeuronQuant.Sensitivity;

/// <summary>A number that says how much a module may suffer from quantization; see <see cref="ModuleMetrics"/> for the formulas.</summary>
public enum Metric
{
    /// <summary>The blog's: mean variance of a channel.</summary>
    OutlierMagnitude,

    /// <summary>Mean of max|w|/rms of a channel.</summary>
    CrestFactor,

    /// <summary>Mean fourth standardized moment of a channel.</summary>
    Kurtosis,

    /// <summary>Mean squared error of int8 per channel.</summary>
    Int8Mse,

    /// <summary>Signal to quantization noise of int8 per channel, dB.</summary>
    Int8Sqnr,
}

/// <summary>Names, units and direction of the metrics.</summary>
public static class MetricNames
{
    private static readonly (Metric Metric, string Name, string Unit)[] All =
    [
        (Metric.OutlierMagnitude, "outlier_magnitude", "squared weight units"),
        (Metric.CrestFactor, "crest_factor", "max / rms"),
        (Metric.Kurtosis, "kurtosis", "normal = 3"),
        (Metric.Int8Mse, "int8_mse", "squared weight units"),
        (Metric.Int8Sqnr, "int8_sqnr", "dB"),
    ];

    /// <summary>The name used on the command line and in JSON.</summary>
    public static string Name(this Metric metric) => All[(int)metric].Name;

    /// <summary>The unit, for an axis.</summary>
    public static string Unit(this Metric metric) => All[(int)metric].Unit;

    /// <summary>True when a larger value means that more is lost; false for SQNR alone.</summary>
    public static bool HigherIsWorse(this Metric metric) => metric != Metric.Int8Sqnr;

    /// <summary>Reads a name; the error lists those there are.</summary>
    /// <exception cref="ArgumentException">no metric has that name</exception>
    public static Metric Parse(string name)
    {
        foreach (var entry in All)
            if (entry.Name == name) return entry.Metric;
        throw new ArgumentException($"'{name}' is not a metric. Use {string.Join(", ", All.Select(entry => entry.Name))}.", nameof(name));
    }
}
