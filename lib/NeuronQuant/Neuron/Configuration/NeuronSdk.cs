namespace NeuronQuant.Neuron;

/// <summary>
/// A release of the Neuron SDK, as far as it decides what a configuration means. The same options do other things in other releases, and
/// nothing says so at run time.
/// </summary>
/// <remarks>
/// Sources: aws-neuron-sdk release-notes/components/nxd-inference.rst:61 (Inf2 dropped with 2.29), nxd-inference commit cd3abf3 (the cache
/// reads kv_quant_config since 2.28), models/mistral (from 2.29), and the announcement that 2.32 ships no NxD Inference. The later documents
/// contradict each other on Inf2; 2.28.1 is the last release that an AWS engineer recorded as validated there.
/// </remarks>
public sealed record NeuronSdk(Version Version)
{
    /// <summary>The release that this workbook is pinned to, 2.28.1.</summary>
    public static NeuronSdk Pinned { get; } = new(new Version(2, 28, 1));

    /// <summary>True while NxD Inference is released for Inf2.</summary>
    public bool SupportsInf2 => Version < new Version(2, 29);

    /// <summary>True when the release has NxD Inference at all.</summary>
    public bool HasNxdInference => Version < new Version(2, 32);

    /// <summary>True when kv_quant_config decides about the cache, and kv_cache_quant alone does not.</summary>
    public bool CacheReadsKvQuantConfig => Version >= new Version(2, 28);

    /// <summary>True when there is a Mistral class of its own.</summary>
    public bool HasMistralClass => Version >= new Version(2, 29);

    /// <summary>Reads 2.28 or 2.28.1.</summary>
    /// <exception cref="NeuronException">the text is no version</exception>
    public static NeuronSdk Parse(string text) => Version.TryParse(text, out var version) && version.Major == 2
        ? new NeuronSdk(new Version(version.Major, version.Minor, Math.Max(0, version.Build)))
        : throw new NeuronException("sdk", $"'{text}' is not a release of the Neuron SDK. Write it as 2.28.1.");

    /// <inheritdoc/>
    public override string ToString() => Version.ToString(3);
}
