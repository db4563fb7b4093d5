using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>What was written for a GPU.</summary>
/// <param name="Layout">compressed-tensors or auto-round</param>
/// <param name="Grid">of the codes</param>
/// <param name="Weights">quantized weights</param>
/// <param name="IntegersChanged">
/// how many codes change when the folder is read by value and NxDI quantizes that, on its own grid; null where its codes are of another width or in
/// groups
/// </param>
public sealed record GpuRecord(string Layout, Grid Grid, long Weights, long? IntegersChanged)
{
    /// <summary>What became of the integers of a source that was quantized before; null for one in floating point.</summary>
    public IntegerChanges? SourceIntegers { get; init; }

    /// <summary>The grid, or whose the codes are.</summary>
    public string Codes => SourceIntegers?.Modules.Any(module => module.WhyNotKept is null) is true ? "the source's own codes and scales" : $"grid {Grid}";

    /// <summary>How many codes change so, for each module; empty where the codes are of another width or in groups.</summary>
    public IReadOnlyList<ModuleIntegers> Modules { get; init; } = [];
}

/// <summary>
/// Writes the same codes for a GPU: a Hugging Face folder that vLLM loads, in compressed-tensors' int-quantized form or as auto-round packs them.
/// Both are read again by <see cref="Checkpoint.Open"/>, as scale * code, so that a model can go from one device to the other and the integers be
/// counted.
/// </summary>
/// <remarks>
/// compressed-tensors: <c>weight</c> I8 [out, in] and <c>weight_scale</c> F32 [out, 1]; vLLM's parameter is float32
/// (schemes/compressed_tensors_w8a8_int8.py), so nothing is lost. auto-round: <c>qweight</c>, <c>qzeros</c>, <c>g_idx</c> in I32 and
/// <c>scales</c> F16 [groups, out] (see <see cref="PackedIntegers"/>).
/// Codes are chosen on the float32 scale and the scale is rounded afterwards, to 11 bits; vLLM rounds once more, to the model's own type, which for
/// bf16 leaves 8 bits: give it dtype float16 to keep them. The integers are the same either way.
/// Its Marlin kernels want rows in multiples of 64 and columns in multiples of 128; others take a slower kernel or are refused there.
/// Checked on 2026-11-28: every byte of 38 packed modules (8 bits, and 4 in groups of 32) equals what pack() of AutoGPTQ 9f7d370 (qlinear_cuda.py)
/// and of auto-round b9f3d00 (auto_round_extension/torch/qlinear_torch_zp.py) makes of the same weights. No vLLM has loaded a folder yet.
/// A weight is packed in memory, as packing transposes it: five bytes a weight of the largest matrix, with all its copies.
/// </remarks>
public static class GpuCheckpoint
{
    private const float HalfPrecision = 1f / 2048; // Rounding to float16 moves a number by a relative 2^-11 at most, unless it is out of range.

    /// <summary>Quantizes by round to nearest, or takes codes that were chosen before, and writes the folder.</summary>
    /// <param name="source">the checkpoint</param>
    /// <param name="folder">the target; it appears whole or not at all</param>
    /// <param name="plan">int8 per channel, with the head kept, and q, k, v and gate, up alike in each layer</param>
    /// <param name="layout">which of the two</param>
    /// <param name="grid">null for the source's own codes where they are int8 with a scale a row, and NxDI's grid elsewhere; any symmetric grid of 8
    /// bits, for auto-round also of 4 and in groups</param>
    /// <param name="overwrite">whether a checkpoint already in the folder may be replaced</param>
    /// <param name="progress">told the weights written and their number</param>
    /// <param name="cancellation">stops the write; the target is then as it was</param>
    /// <param name="chosen">tuned codes on that grid; planned modules that are not among them are rounded to nearest</param>
    /// <exception cref="QuantizationException">the layout does not hold what the plan or the grid asks for</exception>
    /// <exception cref="CheckpointException">the folder cannot be written, or is the source's own</exception>
    public static GpuRecord Write(Checkpoint source, string folder, QuantizationPlan plan, GpuLayout layout, Grid? grid = null,
        bool overwrite = false, Action<long, long>? progress = null, CancellationToken cancellation = default, QuantizedModules? chosen = null)
    {
        string? request = chosen is not null ? $"{chosen.Method} was asked for" : grid is not null ? $"the grid '{grid}' was asked for" : null;
        var count = new IntegerCount(source, request);
        grid ??= chosen?.Weights.Values.FirstOrDefault()?.Grid ?? Grid.Nxd();
        GpuConfig.Check(layout, plan, grid);
        if (!source.HasConfig)
            throw new QuantizationException("config.json", $"{source.Path} has none, and layout {GpuConfig.Name(layout)} says in it how the codes are to be read: "
                + "vLLM would not load the folder. Give the model's own folder; one that NxDI loads holds weights alone.");
        if (chosen is not null) CheckChosen(plan, grid, chosen);
        TargetGuard.Check(source, folder);
        long done = 0, total = source.Tensors.Sum(tensor => tensor.ElementCount), weights = 0;
        var modules = new List<ModuleIntegers>();
        using var writer = CheckpointWriter.Create(folder, source.Tensors.SelectMany(tensor => Declare(tensor, plan, layout, grid)),
            overwrite: overwrite);
        foreach (var tensor in source.Tensors)
        {
            cancellation.ThrowIfCancellationRequested();
            if (!NeuronCheckpoint.IsQuantized(tensor, plan)) NeuronCheckpoint.CopyTensor(source, tensor, writer, CheckpointLayout.Fake, cancellation);
            else
            {
                var weight = chosen?.Weights.GetValueOrDefault(ModuleName.OfTensor(tensor.Name, out _))
                    ?? (request is null && SourceCodes.Has(source, tensor) ? SourceCodes.Read(source, tensor)
                        : RoundToNearest.Quantize(WeightMatrix.Of(source, tensor), grid, cancellation: cancellation));
                if (layout == GpuLayout.AutoRound) weight = WritePacked(writer, tensor.Name, weight);
                else WriteBytes(writer, tensor.Name, weight);
                count.Add(tensor, 0, weight);
                weights += weight.Codes.Length;
                if (grid.WhyNotOnNeuron is null)
                    modules.Add(new ModuleIntegers(
                        ModuleName.OfTensor(tensor.Name, out _), weight.Codes.Length, SecondRounding.Replay(weight).Changed));
            }
            progress?.Invoke(done += tensor.ElementCount, total);
        }
        CompanionFiles.Copy(source, folder, GpuConfig.Of(layout, plan, grid));
        ChosenCodes.Delete(folder);
        File.Delete(Path.Combine(folder, QuantizationRecord.FileName)); // Of an older write: it would say that NxDI loads this.
        writer.Complete();
        return new GpuRecord(GpuConfig.Name(layout), grid, weights, grid.WhyNotOnNeuron is null ? modules.Sum(module => module.Changed) : null)
        {
            Modules = modules,
            SourceIntegers = count.Result,
        };
    }

    private static IEnumerable<TensorDeclaration> Declare(TensorInfo tensor, QuantizationPlan plan, GpuLayout layout, Grid grid)
    {
        if (!NeuronCheckpoint.IsQuantized(tensor, plan))
            return [new TensorDeclaration(tensor.Name, NeuronCheckpoint.IsFloat(tensor.Type) ? TensorType.BF16 : tensor.Type, tensor.Shape)];
        long rows = tensor.Shape[0], columns = tensor.Shape[1];
        if (layout == GpuLayout.CompressedTensors)
            return
            [
                new TensorDeclaration(tensor.Name, TensorType.I8, tensor.Shape),
                new TensorDeclaration(tensor.Name + "_scale", TensorType.F32, [rows, 1]),
            ];
        int perWord = PackedIntegers.PerWord(grid.Bits), group = grid.GroupSize ?? (int)columns;
        if (rows % perWord != 0 || columns % perWord != 0 || columns % group != 0)
            throw new QuantizationException(tensor.Name, $"[{rows}, {columns}] does not fill words of {perWord} codes and groups of {group} "
                + "columns. Keep the module, or use other groups.");
        string stem = Stem(tensor.Name);
        return
        [
            new TensorDeclaration(stem + "qweight", TensorType.I32, [columns / perWord, rows]),
            new TensorDeclaration(stem + "qzeros", TensorType.I32, [columns / group, rows / perWord]),
            new TensorDeclaration(stem + "scales", TensorType.F16, [columns / group, rows]),
            new TensorDeclaration(stem + "g_idx", TensorType.I32, [columns]),
        ];
    }

    private static void WriteBytes(CheckpointWriter writer, string name, QuantizedWeight weight)
    {
        writer.Write(name, weight.Codes);
        writer.Write(name + "_scale", MemoryMarshal.AsBytes(weight.Scales.AsSpan()));
    }

    // Returns the weight with the scales that were stored.
    private static QuantizedWeight WritePacked(CheckpointWriter writer, string name, QuantizedWeight weight)
    {
        string stem = Stem(name);
        int bits = weight.Grid.Bits, groups = weight.Groups;
        var (scales, rounded) = (new Half[weight.Scales.Length], new float[weight.Scales.Length]);
        for (int row = 0; row < weight.Rows; row++)
            for (int group = 0; group < groups; group++)
            {
                int from = row * groups + group;
                var scale = (Half)weight.Scales[from];
                if (!(MathF.Abs((float)scale - weight.Scales[from]) <= MathF.Abs(weight.Scales[from]) * HalfPrecision))
                    throw new QuantizationException(name,
                        $"row {row} has the scale {weight.Scales[from]}, which float16 does not hold to 11 bits. Keep the module.");
                (scales[group * weight.Rows + row], rounded[from]) = (scale, (float)scale);
            }
        // Symmetric: zero is 2^(b-1), stored less one.
        var zeros = new byte[weight.Rows];
        Array.Fill(zeros, (byte)((1 << (bits - 1)) - 1));
        int[] line = PackedIntegers.PackLine(zeros, bits);
        int[] index = [.. Enumerable.Range(0, weight.Columns).Select(column => column / weight.GroupSize)];
        writer.Write(stem + "qweight", MemoryMarshal.AsBytes(PackedIntegers.PackWeight(weight.Integers, weight.Rows, weight.Columns, bits).AsSpan()));
        for (int group = 0; group < groups; group++) writer.Write(stem + "qzeros", MemoryMarshal.AsBytes(line.AsSpan()));
        writer.Write(stem + "scales", MemoryMarshal.AsBytes(scales.AsSpan()));
        writer.Write(stem + "g_idx", MemoryMarshal.AsBytes(index.AsSpan()));
        return weight with { Scales = rounded };
    }

    private static void CheckChosen(QuantizationPlan plan, Grid grid, QuantizedModules chosen)
    {
        foreach (var (module, weight) in chosen.Weights)
            if (weight.Grid != grid || plan[module] == Format.Bf16)
                throw new QuantizationException(module.Name, $"has codes on the grid '{weight.Grid}', and the folder's is '{grid}'; or the "
                    + "plan keeps it in bf16. "
                    + "Tune all modules on one grid, with the plan that is written.");
    }

    private static string Stem(string weight) => weight[..^"weight".Length];
}
