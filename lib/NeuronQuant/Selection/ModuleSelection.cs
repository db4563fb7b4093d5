using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Quantization;

namespace NeuronQuant.Selection;

/// <summary>
/// The modules that stay in bf16, why, and what that costs: the bridge from a sensitivity profile to modules_to_not_convert.
/// </summary>
/// <param name="Rule">how they were chosen, in words</param>
/// <param name="Kept">the linear modules that stay in bf16, in the order of a forward pass</param>
/// <param name="Ranked">the same modules in the order of the rule, the worst first</param>
/// <param name="Entries">modules_to_not_convert, in forms that mean the same under Hugging Face and Neuron names</param>
/// <param name="Preview">what each entry matches</param>
/// <param name="KeptWeights">weights that stay in bf16</param>
/// <param name="Weights">weights of all linear modules</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record ModuleSelection(
    string Rule, IReadOnlyList<ModuleName> Kept, IReadOnlyList<ModuleName> Ranked, IReadOnlyList<string> Entries, IReadOnlyList<ExclusionMatch> Preview, long KeptWeights, long Weights)
{
    /// <summary>Bits of an average linear weight: 16 for those kept, 8 for the others.</summary>
    public double AverageBits => 8 + 8.0 * KeptWeights / Weights;

    /// <summary>Bytes that keeping these modules costs over quantizing everything: one for each kept weight.</summary>
    public long ExtraBytes => KeptWeights;

    /// <summary>Each entry with the modules that it matches.</summary>
    public DataFrame ToDataFrame()
    {
        var table = new FrameRows($"modules_to_not_convert ({Rule})", "entry", "matches by Hugging Face name", "matches by Neuron name", "warning");
        foreach (var match in Preview)
            table.Row(match.Entry, Names(match.HuggingFaceMatches), Names(match.NeuronMatches), match.Warning ?? "");
        return table;
    }

    /// <summary>The rule, its cost and the entries.</summary>
    public string ToHtml() => $"<p>{System.Net.WebUtility.HtmlEncode(ToString()).Replace("\n", "<br>", StringComparison.Ordinal)}</p>";

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant(
        $"{Rule}: {Kept.Count} modules stay in bf16, {100.0 * KeptWeights / Weights:0.0} % of the linear weights, {AverageBits:0.00} bits on average\n[{string.Join(", ", Entries)}]");

    private static string Names(IReadOnlyList<ModuleName> modules) =>
        modules.Count <= 4 ? string.Join(", ", modules) : $"{modules[0]}, {modules[1]}, … {modules[^1]} ({modules.Count})";
}
