namespace NeuronQuant.Methods;

/// <summary>How AWQ searches.</summary>
/// <param name="Steps">ratios tried: 0, 1/Steps ... (Steps-1)/Steps</param>
/// <param name="DuoScaling">whether weights have a say, as in llm-compressor</param>
/// <param name="Clip">whether ranges are searched after the scales, as in llm-awq; llm-compressor has no such step</param>
/// <param name="GroupedHeads">whether o is scaled where key heads are fewer than query heads, by the mean over those that share one; the
/// published tools skip it</param>
/// <param name="Sequences">calibration sequences that the search for scales looks at, at most</param>
public sealed record AwqOptions(int Steps = 20, bool DuoScaling = false, bool Clip = true, bool GroupedHeads = false, int Sequences = 32)
{
    internal const double Smallest = 1e-4; // llm-awq's and llm-compressor's floor of a scale.

    /// <summary>llm-awq's.</summary>
    public static AwqOptions Default { get; } = new();

    /// <summary>The exponents tried, the one that changes nothing first.</summary>
    public IReadOnlyList<double?> Ratios => DuoScaling
        ? [null, .. Enumerable.Range(0, Steps - 1).Select(step => (double?)step / (Steps - 2))] // Duo at 0 is not identity; 1 is tried.
        : [.. Enumerable.Range(0, Steps).Select(step => (double?)step / Steps)]; // 1 is never tried.

    /// <summary>x^r, or x^r / w^(1-r), at least 1e-4 and divided by the geometric middle of its extremes.</summary>
    /// <param name="activations">mean |x_j|, [in]</param>
    /// <param name="weights">mean |w_ij| relative to its row's largest, [in]; looked at with duo scaling</param>
    /// <param name="ratio">r; null changes nothing</param>
    public double[] Scales(double[] activations, double[] weights, double? ratio)
    {
        ArgumentNullException.ThrowIfNull(activations);
        if (ratio is not double r) return [.. activations.Select(_ => 1.0)];
        double[] scales = [.. activations.Select((x, j) => Math.Max(
            DuoScaling ? Math.Pow(x, r) / (Math.Pow(weights[j], 1 - r) + Smallest) : Math.Pow(x, r), Smallest))];
        double middle = Math.Sqrt(scales.Max() * scales.Min());
        return [.. scales.Select(s => double.IsFinite(s / middle) ? s / middle : 1)];
    }
}

/// <summary>What the search of one group of modules found.</summary>
/// <param name="Modules">the modules that share the scales, such as "q_proj, k_proj, v_proj"</param>
/// <param name="Ratio">the exponent; null or 0 where nothing was better than no scale</param>
/// <param name="Scales">s, [in]</param>
/// <param name="Losses">mean squared error of the output with each ratio, in the order of <see cref="AwqOptions.Ratios"/></param>
public sealed record AwqChoice(string Modules, double? Ratio, double[] Scales, IReadOnlyList<double> Losses);
