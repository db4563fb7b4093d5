using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>
/// Compares the file with modules_to_not_convert: a module is quantized in the file when it has codes, in the graph when no entry matches
/// its Neuron name. The two must agree for every module.
/// </summary>
/// <remarks>In layout fake nothing is quantized yet, so there is nothing to disagree with; the plan itself has checked the entries.</remarks>
internal static class AuditExclusions
{
    public static IEnumerable<AuditFinding> Compare(Checkpoint written, QuantizationPlan plan, IReadOnlyList<string> entries, CheckpointLayout layout)
    {
        if (plan.AddedTiedHead && !entries.Contains("lm_head"))
            yield return new AuditFinding(AuditDefect.ExclusionDisagrees, "lm_head",
                "config.json ties it to the embedding, with which NxDI overwrites it, so it cannot be quantized. Add \"lm_head\" to "
                    + "modules_to_not_convert.");
        if (layout == CheckpointLayout.Fake) yield break;
        foreach (var module in plan.Modules)
        {
            var stored = written.Find(module, "weight");
            if (stored is null) continue;
            bool inFile = stored.Type is TensorType.I8 or TensorType.F8E4M3 or TensorType.F8E5M2;
            bool inGraph = plan[module] != Format.Bf16;
            if (inFile && !inGraph)
                yield return new AuditFinding(AuditDefect.ExclusionDisagrees, module.Name,
                    $"the file holds {stored.Type.Name()} codes, but modules_to_not_convert keeps it in bf16: the runtime would read codes as "
                        + "weights. Write the folder with this list, or drop the entry.");
            if (!inFile && inGraph)
                yield return new AuditFinding(AuditDefect.ExclusionDisagrees, module.Name,
                    $"the file holds {stored.Type.Name()} weights, but no entry of modules_to_not_convert matches '{module.NeuronName}': the "
                        + $"runtime would ask for its scale. Add '{module.Name}' in its safe form, or write the folder with this list.");
        }
    }
}
