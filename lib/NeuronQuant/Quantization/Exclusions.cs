using System.Text.RegularExpressions;
using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;

namespace NeuronQuant.Quantization;

/// <summary>What one entry of modules_to_not_convert matches.</summary>
/// <param name="Entry">the text as given</param>
/// <param name="HuggingFaceMatches">modules that stay float when NxDI quantizes the Hugging Face model</param>
/// <param name="NeuronMatches">modules that stay float in the graph that NxDI builds</param>
/// <param name="Warning">what is probably not meant, or null</param>
public sealed record ExclusionMatch(
    string Entry, IReadOnlyList<ModuleName> HuggingFaceMatches, IReadOnlyList<ModuleName> NeuronMatches, string? Warning)
{
    /// <inheritdoc/>
    public override string ToString() => HuggingFaceMatches.Count == NeuronMatches.Count
        ? $"{Entry}: {HuggingFaceMatches.Count} modules"
        : $"{Entry}: {HuggingFaceMatches.Count} modules by Hugging Face names, {NeuronMatches.Count} by Neuron names";
}

/// <summary>
/// modules_to_not_convert, resolved. NxDI matches each entry as a plain substring, twice: against Hugging Face names
/// (model.layers.0.self_attn.q_proj) to choose what to quantize, and against its own names (layers.0.self_attn.qkv_proj.q_proj) to
/// choose what the graph expects quantized. Where the two disagree, int8 codes are read as weights and no error is raised.
/// </summary>
/// <remarks>
/// Sources: nxd quantization_utils.py:12-32 (Hugging Face side, "if module in name") and quantize.py:121-123 (Neuron side). There is no
/// guard for numbers: "layers.3" also matches layers 30 to 39.
/// </remarks>
public static partial class Exclusions
{
    /// <summary>What each entry matches among the linear modules of a model: the preview to look at before anything is written.</summary>
    public static IReadOnlyList<ExclusionMatch> Preview(IReadOnlyList<string> entries, IReadOnlyList<ModuleName> modules)
    {
        return [.. entries.Select(entry => new ExclusionMatch(
            entry,
            [.. modules.Where(module => MatchesHuggingFace(entry, module))],
            [.. modules.Where(module => MatchesNeuron(entry, module))],
            Warning(entry, modules)))];
    }

    /// <summary>The preview as a table of counts.</summary>
    public static DataFrame ToDataFrame(IReadOnlyList<string> entries, IReadOnlyList<ModuleName> modules) =>
        Frames.From($"Matches among {modules.Count} linear modules", Preview(entries, modules),
            ("entry", match => match.Entry), ("by Hugging Face name", match => match.HuggingFaceMatches.Count),
            ("by Neuron name", match => match.NeuronMatches.Count), ("warning", match => match.Warning ?? ""));

    /// <summary>The linear modules that stay in bf16, the same under both naming schemes.</summary>
    /// <exception cref="QuantizationException">an entry matches nothing, is unsafe, or the two schemes disagree; the remedy is in the message</exception>
    public static IReadOnlySet<ModuleName> Resolve(IReadOnlyList<string> entries, IReadOnlyList<ModuleName> modules)
    {
        foreach (var match in Preview(entries, modules))
        {
            if (match.Entry.StartsWith("model.", StringComparison.Ordinal))
                throw new QuantizationException(match.Entry, $"the Neuron graph has no 'model.' prefix, so this entry would match nothing there. Write '{match.Entry[6..]}'.");
            if (match.HuggingFaceMatches.Count + match.NeuronMatches.Count == 0)
                throw new QuantizationException(match.Entry, $"matches no linear module. Modules are named like {string.Join(", ", modules.Take(2).Append(modules[^1]))}.");
        }
        foreach (var module in modules)
        {
            bool kept = entries.Any(entry => MatchesHuggingFace(entry, module)), inGraph = entries.Any(entry => MatchesNeuron(entry, module));
            if (kept != inGraph) throw new QuantizationException(module.Name, Disagreement(module, kept));
        }
        return modules.Where(module => entries.Any(entry => MatchesHuggingFace(entry, module))).ToHashSet();
    }

    /// <summary>
    /// The shortest safe entries for a set of modules: whole attention or MLP where all of it stays, single projections otherwise, and
    /// both names for q, k and v.
    /// </summary>
    public static IReadOnlyList<string> EntriesFor(IEnumerable<ModuleName> kept, IReadOnlyList<ModuleName> modules)
    {
        var set = kept.ToHashSet();
        var entries = new List<string>();
        foreach (var group in modules.Where(set.Contains).GroupBy(GroupName))
        {
            if (modules.Where(module => GroupName(module) == group.Key).All(set.Contains)) entries.Add(group.Key);
            else entries.AddRange(group.SelectMany(module => MatchesNeuron(module.Name, module) ? [module.Name] : new[] { module.Name, module.NeuronName }));
        }
        return entries;
    }

    internal static bool MatchesHuggingFace(string entry, ModuleName module) => module.HuggingFaceName.Contains(entry, StringComparison.Ordinal);

    internal static bool MatchesNeuron(string entry, ModuleName module) => module.NeuronName.Contains(entry, StringComparison.Ordinal);

    private static string GroupName(ModuleName module) =>
        module.Layer is null ? module.Name : module.Name[..module.Name.LastIndexOf('.')];

    private static string Disagreement(ModuleName module, bool kept) => kept
        ? $"stays float under its Hugging Face name but not under its Neuron name '{module.NeuronName}': the runtime would read bf16 weights as codes. List both '{module.Name}' and '{module.NeuronName}', or the whole '{GroupName(module)}'."
        : $"stays float under its Neuron name '{module.NeuronName}' but not under its Hugging Face name: the runtime would read int8 codes as weights. List both '{module.Name}' and '{module.NeuronName}', or the whole '{GroupName(module)}'.";

    private static string? Warning(string entry, IReadOnlyList<ModuleName> modules)
    {
        if (EndsInLayerNumber().Match(entry) is not { Success: true } match) return null;
        int layer = int.Parse(match.Groups[1].ValueSpan, System.Globalization.CultureInfo.InvariantCulture);
        var others = modules.Where(module => MatchesHuggingFace(entry, module) && module.Layer != layer).Select(module => module.Layer).Distinct().ToArray();
        return others.Length == 0 ? null : $"also matches layers {string.Join(", ", others)}; write '{entry}.' to mean layer {layer} alone";
    }

    [GeneratedRegex(@"layers\.(\d{1,9})$")]
    private static partial Regex EndsInLayerNumber();
}
