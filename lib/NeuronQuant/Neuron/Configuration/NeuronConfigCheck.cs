using NeuronQuant.Checkpoints;

namespace NeuronQuant.Neuron;

/// <summary>
/// Everything that can be known to be wrong with a configuration before a chip is touched. NxDI asserts a few of these rules, and late;
/// most of them end in an hour of compiling and then in text that makes no sense.
/// </summary>
/// <remarks>
/// Each rule names its source beside it, in the files of the families: names and types, the constructor's own refusals, quantization, cache,
/// exclusions, platform, folder.
/// A rule that needs the model (heads, layers, memory) is left out without one, and the report's notes say so.
/// </remarks>
public static class NeuronConfigCheck
{
    /// <summary>Checks a set-up.</summary>
    /// <param name="setup">options, class, environment, instance, release</param>
    /// <param name="model">the model's config; null when there is none at hand</param>
    /// <param name="source">the model's weights, with which the folder of quantized_checkpoints_path is audited; null to compare its record
    /// only</param>
    /// <param name="cancellation">stops an audit</param>
    public static ConfigReport Run(NeuronSetup setup, ModelConfig? model = null, Checkpoint? source = null, CancellationToken cancellation = default)
    {
        var notes = new List<string>();
        var findings = new List<ConfigFinding>();
        findings.AddRange(ConfigNames.Check(setup.Config));
        findings.AddRange(ConfigConstructor.Check(setup.Config));
        findings.AddRange(ConfigQuantization.Check(setup.Config, model));
        findings.AddRange(ConfigActivations.Check(setup.Config));
        findings.AddRange(ConfigCache.Check(setup, notes));
        findings.AddRange(ConfigExclusions.Check(setup.Config, model));
        findings.AddRange(ConfigLengths.Check(setup.Config, model));
        findings.AddRange(ConfigPlatform.Check(setup, model));
        findings.AddRange(ConfigMemory.Check(setup, model));
        findings.AddRange(ConfigFolder.Check(setup.Config, source, notes, cancellation));
        if (model is null) notes.Add(
            "No model was given: exclusions were matched against a Llama of 100 layers; heads, window and memory were not looked at.");
        return new ConfigReport(setup, [.. findings.OrderBy(finding => finding.Severity)], notes);
    }
}
