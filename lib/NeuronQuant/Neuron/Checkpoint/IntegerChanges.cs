using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;

namespace NeuronQuant.Neuron;

/// <summary>The integers of one module of a source that was quantized before, and those that were written.</summary>
/// <param name="Module">the module</param>
/// <param name="Weights">weights of the module</param>
/// <param name="Changed">how many integers differ; null when they cannot be compared one by one</param>
/// <param name="ScalesChanged">how many scales differ, in magnitude; 0 where the integers are not compared</param>
/// <param name="WhyNotKept">why the codes were not taken over as they are; null when they were</param>
public sealed record ModuleIntegers(ModuleName Module, long Weights, long? Changed, long ScalesChanged = 0, string? WhyNotKept = null);

/// <summary>What became of the integers of a model that was quantized elsewhere when it was quantized again.</summary>
/// <remarks>
/// int8 codes with one scale a row and no zero point are what NxDI holds, whatever grid they were chosen on: they are taken over with their
/// scales, byte for byte, and nothing is rounded again. Where they are not taken over, because the source stores them otherwise or something else was
/// asked for, the weight is read by value, bf16(scale * code), and rounded on absmax / 127. Codes of absmax / 127.5 or 128 (compressed-tensors,
/// auto-round), or with scales of 16 bits, then do not all come back: weights move by half a step of 127 at most, on top of what was lost before.
/// Compared is sign(scale) * (code - zero point), since a negative scale times a negative code is the same weight, and of a bf16 folder what NxDI
/// rounds it to. Codes of fewer bits, and scales for groups, are another set of values: they are named and not counted.
/// </remarks>
/// <param name="Modules">every module that is stored as codes in the source and quantized in the folder, in the order of a forward pass</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record IntegerChanges(IReadOnlyList<ModuleIntegers> Modules)
{
    /// <summary>Weights of the modules that were compared.</summary>
    public long Weights => Modules.Where(module => module.Changed is not null).Sum(module => module.Weights);

    /// <summary>Integers that differ, over all modules that were compared.</summary>
    public long Changed => Modules.Sum(module => module.Changed ?? 0);

    /// <summary>Scales that differ, over all modules that were compared.</summary>
    public long ScalesChanged => Modules.Sum(module => module.ScalesChanged);

    /// <summary>A row for each module, those with changed integers highlighted.</summary>
    public DataFrame ToDataFrame() => Frames.From("Integers that changed", Modules, ("module", module => module.Module.Name),
            ("weights", module => module.Weights), ("changed", module => module.Changed), ("scales changed", module => module.ScalesChanged),
            ("not kept, since", module => module.WhyNotKept ?? ""))
        .Mark(row => row[2] is > 0L);

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The count in a sentence.</summary>
    public override string ToString()
    {
        var rounded = Modules.Where(module => module.WhyNotKept is not null).ToArray();
        double percent = Weights == 0 ? 0 : 100.0 * Changed / Weights;
        string counted = Weights == 0 ? "the source's integers were not compared" : FormattableString.Invariant(
            $"{Changed} of {Weights} integers of the source ({percent:0.##} %) and {ScalesChanged} of its scales are other ones here");
        return rounded.Length == 0 ? $"{counted}: codes and scales were taken over"
            : $"{counted}: {rounded.Length} of {Modules.Count} modules were rounded again, {rounded[0].Module} since {rounded[0].WhyNotKept}";
    }
}
