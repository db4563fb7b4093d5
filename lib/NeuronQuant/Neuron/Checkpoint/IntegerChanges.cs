using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>The integers of one module in two folders.</summary>
/// <param name="Module">the module</param>
/// <param name="Weights">weights of the module</param>
/// <param name="Changed">how many integers differ; null when they cannot be compared one by one</param>
/// <param name="WhyNotCompared">why not; null when they were</param>
public sealed record ModuleIntegers(ModuleName Module, long Weights, long? Changed, string? WhyNotCompared = null);

/// <summary>How many integers of a model that was quantized elsewhere are other ones after it was quantized again.</summary>
/// <remarks>
/// A checkpoint of int8 codes is read by value, bf16(scale * code), and rounded again on absmax / 127. Where its own scales were of absmax / 127.5 or
/// 128 (compressed-tensors, auto-round), or were rounded to 16 bits, some codes do not come back. The weights move by half a step of 127 at most, on
/// top of what was lost before; but the integers that a method chose are then not all its own. Of a folder of ours on NxDI's grid none changes.
/// Compared is sign(scale) * (code - zero point), since a negative scale times a negative code is the same weight. Codes of fewer bits, and scales for
/// groups, are another set of values: they are named and not counted.
/// </remarks>
/// <param name="Modules">every module that is stored as codes in the first folder and quantized in the second, in the order of a forward pass</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record IntegerChanges(IReadOnlyList<ModuleIntegers> Modules)
{
    /// <summary>Weights of the modules that were compared.</summary>
    public long Weights => Modules.Where(module => module.Changed is not null).Sum(module => module.Weights);

    /// <summary>Integers that differ, over all modules that were compared.</summary>
    public long Changed => Modules.Sum(module => module.Changed ?? 0);

    /// <summary>Holds the integers of one folder against those of another.</summary>
    /// <param name="from">opened by value; codes and scales, or packed integers</param>
    /// <param name="to">opened by value; codes of its own, or bf16 weights, which then count as NxDI would round them</param>
    /// <param name="plan">what was quantized in the second; modules that it keeps are left out</param>
    /// <param name="cancellation">checked before each module</param>
    /// <exception cref="QuantizationException">a module has another shape in the second folder, or is missing there</exception>
    public static IntegerChanges Between(Checkpoint from, Checkpoint to, QuantizationPlan plan, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(from);
        ArgumentNullException.ThrowIfNull(to);
        ArgumentNullException.ThrowIfNull(plan);
        var kept = plan.Kept.ToHashSet();
        var modules = new List<ModuleIntegers>();
        foreach (var module in plan.Modules.Where(module => !kept.Contains(module)))
        {
            cancellation.ThrowIfCancellationRequested();
            if (from.Find(module, "weight") is not { } tensor || from.CodesOf(tensor) is not { } codes) continue;
            if (to.Find(module, "weight") is not { } other || !other.Shape.AsSpan().SequenceEqual(tensor.Shape.AsSpan()))
                throw new QuantizationException(module.Name, $"is not a weight of shape {CheckpointException.Quote(tensor.Shape)} in {to.Path}. "
                    + "Compare a folder with one that was made from it.");
            modules.Add(codes.WhyNoIntegers is { } reason ? new ModuleIntegers(module, tensor.ElementCount, null, reason)
                : to.CodesOf(other)?.WhyNoIntegers is { } there
                    ? new ModuleIntegers(module, tensor.ElementCount, null, $"in the folder that was written {there}")
                : new ModuleIntegers(module, tensor.ElementCount, Count(codes, to, other)));
        }
        return new IntegerChanges(modules);
    }

    /// <summary>A row for each module, those with changed integers highlighted.</summary>
    public DataFrame ToDataFrame() => Frames.From("Integers that changed", Modules, ("module", module => module.Module.Name),
            ("weights", module => module.Weights), ("changed", module => module.Changed), ("not compared, since", module => module.WhyNotCompared ?? ""))
        .Mark(row => row[2] is > 0L);

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The count in a sentence.</summary>
    public override string ToString()
    {
        var left = Modules.Where(module => module.WhyNotCompared is not null).ToArray();
        double percent = Weights == 0 ? 0 : 100.0 * Changed / Weights;
        string counted = FormattableString.Invariant($"{Changed} of {Weights} integers of the source ({percent:0.##} %) are other ones here");
        return left.Length == 0 ? counted
            : $"{(Weights == 0 ? "the source's integers were not compared" : counted)}: {left.Length} modules cannot be, "
                + $"{left[0].Module} since {left[0].WhyNotCompared}";
    }

    private static long Count(IComputedTensor codes, Checkpoint to, TensorInfo other)
    {
        int rows = (int)other.Shape[0], columns = (int)other.Shape[1];
        var (before, after, changed) = (new int[columns], new int[columns], 0L);
        var (stored, matrix) = (to.CodesOf(other), WeightMatrix.Of(to, other));
        for (int row = 0; row < rows; row++)
        {
            codes.ReadIntegers(row, before);
            if (stored is not null) stored.ReadIntegers(row, after);
            else Rounded(matrix.Slice(row, 1), after);
            for (int i = 0; i < columns; i++)
                if (before[i] != after[i]) changed++;
        }
        return changed;
    }

    private static void Rounded(WeightMatrix row, int[] after)
    {
        var integers = RoundToNearest.Quantize(row, Grid.Nxd()).Integers;
        for (int i = 0; i < after.Length; i++) after[i] = integers[i];
    }
}
