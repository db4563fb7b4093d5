using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>The part of <see cref="NeuronCheckpoint"/> that writes codes which were chosen before, and says what cannot be written.</summary>
/// <remarks>
/// Layout nxd stores codes and scales as they are (rule R2), so it carries any 8-bit grid, also the signed one with its negative scales
/// and -128. Layout fake stores bf16(scale * code); the nxd grid survives NxDI's second rounding, the signed one does not, and the record
/// says by how much.
/// </remarks>
internal static class ChosenWriter
{
    public static void Check(Checkpoint source, QuantizationPlan plan, CheckpointLayout layout, Grid grid, Grid native, QuantizedModules chosen)
    {
        if (chosen.Weights.Count == 0) throw new QuantizationException("chosen codes",
            $"{chosen.Method} gave none. Tune first, or write by round to nearest.");
        if (grid != native || plan.Format != Format.Int8 || plan.Granularity != Granularity.PerChannelSymmetric)
            throw new QuantizationException("plan", "tuned codes bring their own grid and are int8 per_channel_symmetric. Make the plan so and give no grid.");
        var grids = chosen.Weights.Values.Select(weight => weight.Grid).Distinct().ToArray();
        if (grids.Select(one => one.Name).Distinct().Count() > 1 || (grids.Length > 1 && !grids.All(GridNumbers.IsOfLibrary)))
            throw new QuantizationException("chosen codes", "are on several grids; a folder has one, of which only the width may differ, and "
                + "that without groups. "
                + "Tune all modules on the same grid.");
        foreach (var (module, weight) in chosen.Weights)
        {
            if (plan[module] == Format.Bf16)
                throw new QuantizationException(module.Name,
                    "has tuned codes, but the plan keeps it in bf16 or does not know it. Write with the plan that was tuned.");
            if (source.Find(module, "weight") is not { } tensor || !tensor.Shape.AsSpan().SequenceEqual([weight.Rows, weight.Columns]))
                throw new QuantizationException(module.Name,
                    $"has tuned codes [{weight.Rows}, {weight.Columns}], and the source no weight of that shape. Are they of another model?");
            if (layout == CheckpointLayout.Nxd && weight.Grid.WhyNotOnNeuron is { } reason)
                throw new QuantizationException(module.Name, $"has codes on the grid '{weight.Grid}': {reason}. "
                    + "Write layout fake, the same values in bf16, to measure what they cost.");
        }
    }

    /// <summary>The grid of all chosen codes in numbers; null where its name says all, and where only names and widths can tell.</summary>
    public static GridNumbers? Numbers(QuantizedModules chosen) =>
        chosen.Weights.Values.Select(weight => weight.Grid).Distinct().ToArray() is [var only] ? GridNumbers.Of(only) : null;

    /// <summary>The modules below 8 bits; null when there are none.</summary>
    public static IReadOnlyDictionary<string, int>? Widths(QuantizedModules chosen)
    {
        var narrow = chosen.Weights.Where(pair => pair.Value.Grid.Bits < 8).OrderBy(pair => pair.Key)
            .ToDictionary(pair => pair.Key.Name, pair => pair.Value.Grid.Bits);
        return narrow.Count == 0 ? null : narrow;
    }

    /// <summary>How many of the 8-bit integers NxDI changes when it rounds the bf16 file again.</summary>
    public static long IntegersChanged(QuantizedModules chosen, CancellationToken cancellation)
    {
        long changed = 0;
        foreach (var weight in chosen.Weights.Values.Where(weight => weight.Grid.WhyNotOnNeuron is null))
        {
            cancellation.ThrowIfCancellationRequested();
            changed += SecondRounding.Replay(weight).Changed;
        }
        return changed;
    }

    public static void Write(CheckpointWriter writer, TensorInfo tensor, QuantizedWeight weight, CheckpointLayout layout)
    {
        if (layout == CheckpointLayout.Fake)
        {
            writer.Write(tensor.Name, MemoryMarshal.AsBytes(weight.DequantizeBf16().AsSpan()));
            return;
        }
        string name = NeuronCheckpoint.Bare(tensor.Name);
        writer.Write(name, weight.Codes);
        writer.Write(NeuronCheckpoint.ScaleName(name), MemoryMarshal.AsBytes(weight.Scales.AsSpan()));
    }
}
