using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.Neuron;

/// <summary>How bad a finding is.</summary>
public enum ConfigSeverity
{
    /// <summary>The run fails, or its result is wrong.</summary>
    Error,

    /// <summary>The run works and does something else than the option says, or does it at a price.</summary>
    Warning,
}

/// <summary>One thing that is wrong with a configuration.</summary>
/// <param name="Severity">error or warning</param>
/// <param name="Option">the option, variable or module at fault</param>
/// <param name="Message">what was found and what it leads to</param>
/// <param name="Remedy">what to write instead</param>
public sealed record ConfigFinding(ConfigSeverity Severity, string Option, string Message, string Remedy)
{
    /// <summary>The exception that NeuronConfig itself raises; null where it accepts the option and something else goes wrong.</summary>
    public string? Raises { get; init; }

    /// <inheritdoc/>
    public override string ToString() => $"{Option}: {Severity}: {Message} {Remedy}";

    /// <summary>A row for each finding, errors highlighted.</summary>
    public static DataFrame ToDataFrame(string title, IEnumerable<ConfigFinding> findings) => Frames.From(title, findings,
        ("option", finding => finding.Option), ("severity", finding => $"{finding.Severity}".ToLowerInvariant()),
        ("what it leads to", finding => finding.Message), ("remedy", finding => finding.Remedy)).Mark(row => row[1] is "error");

    internal static ConfigFinding Error(string option, string message, string remedy) => new(ConfigSeverity.Error, option, message, remedy);

    internal static ConfigFinding Warning(string option, string message, string remedy) => new(ConfigSeverity.Warning, option, message, remedy);
}

/// <summary>What a check found. It passes when there is no error; warnings are for the reader to weigh.</summary>
/// <param name="Setup">what was checked</param>
/// <param name="Findings">errors first, then warnings</param>
/// <param name="Notes">true and harmless, but worth knowing: what was not checked, how to load afterwards</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record ConfigReport(NeuronSetup Setup, IReadOnlyList<ConfigFinding> Findings, IReadOnlyList<string> Notes)
{
    /// <summary>True when no finding is an error.</summary>
    public bool Passed => Findings.All(finding => finding.Severity != ConfigSeverity.Error);

    /// <summary>The findings that are errors.</summary>
    public IEnumerable<ConfigFinding> Errors => Findings.Where(finding => finding.Severity == ConfigSeverity.Error);

    /// <summary>The findings that are warnings.</summary>
    public IEnumerable<ConfigFinding> Warnings => Findings.Where(finding => finding.Severity == ConfigSeverity.Warning);

    /// <summary>A row for each finding, errors highlighted.</summary>
    public DataFrame ToDataFrame() => ConfigFinding.ToDataFrame($"{this}", Findings);

    /// <summary>The verdict, the findings and the notes.</summary>
    public string ToHtml() => (Findings.Count == 0 ? $"<p>{this}</p>" : ToDataFrame().ToHtml())
        + string.Concat(Notes.Select(note => $"<p>{System.Net.WebUtility.HtmlEncode(note)}</p>"));

    /// <inheritdoc/>
    public override string ToString() =>
        $"{(Findings.Count == 0 ? "nothing found" : Passed ? "passed with warnings" : "FAILED")} for SDK {Setup.Sdk}: {Errors.Count()} errors, "
            + $"{Warnings.Count()} warnings";
}
