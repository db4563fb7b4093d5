using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Neuron;

/// <summary>
/// Writes a quantized checkpoint by a plan. Layout nxd is the folder that NxDI loads without quantizing again: for each quantized linear
/// layer <c>weight</c> [out, in] in I8, F8_E4M3 or F8_E5M2 and <c>scale</c> F32 [out, 1] (or [1] per tensor), everything else in BF16, no
/// "model." prefix. Layout fake is a Hugging Face folder of bf16 weights, by rule R1 on NxDI's grid and by plain rounding on any other.
/// </summary>
/// <remarks>
/// Contract, SDK 2.28: nxd-inference models/model_base.py:3234-3243 (names), modules/checkpoint.py:24-70 (files), nxd
/// quantization/quantization_utils.py:92-123 (scales). Give the folder to NeuronConfig as quantized_checkpoints_path with the same dtype, type and
/// modules_to_not_convert, and do
/// not call save_quantized_state_dict, which would overwrite it. Weights stream in chunks: memory does not grow with the model.
/// </remarks>
public static class NeuronCheckpoint
{
    /// <summary>
    /// Takes over the codes and scales of a source that has such as NxDI holds, or codes that were chosen before, and quantizes the rest by round to
    /// nearest; writes the folder.
    /// </summary>
    /// <param name="source">the checkpoint</param>
    /// <param name="folder">the target; it appears whole or not at all</param>
    /// <param name="plan">format, granularity, exclusions</param>
    /// <param name="layout">nxd or fake</param>
    /// <param name="grid">null for NxDI's own grid, or the source's own codes where layout nxd holds them; given, all is rounded on it. Any but NxDI's
    /// in layout fake only: to show what the second rounding does to autoround and half, or to measure what NxDI cannot load</param>
    /// <param name="overwrite">whether a checkpoint already in the folder may be replaced</param>
    /// <param name="progress">told the weights written and their number</param>
    /// <param name="cancellation">stops the write; the target is then as it was</param>
    /// <param name="chosen">tuned codes; planned modules that are not among them are rounded to nearest. Below 8 bits, layout fake only</param>
    /// <exception cref="QuantizationException">the plan and the layout do not go together, or a weight is not finite</exception>
    /// <exception cref="CheckpointException">the folder cannot be written, or is the source's own</exception>
    public static QuantizationRecord Write(
        Checkpoint source, string folder, QuantizationPlan plan, CheckpointLayout layout = CheckpointLayout.Nxd, Grid? grid = null,
            bool overwrite = false,
        Action<long, long>? progress = null, CancellationToken cancellation = default, QuantizedModules? chosen = null)
    {
        var native = Grid.OfNxdi(plan.Format, plan.Granularity);
        string? request = Request(plan, layout, grid, chosen);
        var count = new IntegerCount(source, request);
        bool own = request is null && source.Tensors.Any(tensor => IsQuantized(tensor, plan) && SourceCodes.Has(source, tensor));
        grid ??= native;
        Check(plan, layout, grid, native);
        TargetGuard.Check(source, folder);
        if (chosen is not null) ChosenWriter.Check(source, plan, layout, grid, native, chosen);
        var record = new QuantizationRecord(plan.Format.NxdiName(), plan.Granularity.NxdiName(), plan.ModulesToNotConvert,
            layout == CheckpointLayout.Nxd ? "nxd" : "fake", chosen?.Weights.Values.First().Grid.Name ?? grid.Name,
                chosen?.Method ?? (own ? QuantizationRecord.OfSource : QuantizationRecord.RoundToNearest),
            Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(source.Path))),
                typeof(NeuronCheckpoint).Assembly.GetName().Version!.ToString(3))
        {
            GridNumbers = chosen is null ? GridNumbers.Of(grid) : ChosenWriter.Numbers(chosen),
            Widths = chosen is null ? null : ChosenWriter.Widths(chosen),
            IntegersChanged = chosen is not null && layout == CheckpointLayout.Fake ? ChosenWriter.IntegersChanged(chosen, cancellation) : null,
            Computation = chosen?.Computation,
            Folded = chosen?.Floats.Count > 0 ? [.. chosen.Floats.Keys.Order(StringComparer.Ordinal)] : null,
        };
        long done = 0, total = source.Tensors.Sum(tensor => tensor.ElementCount);
        var floats = new FoldedFloats(source, plan, layout, chosen);
        using var writer = CheckpointWriter.Create(
            folder, source.Tensors.SelectMany(tensor => Declare(tensor, plan, layout)).Concat(floats.Added), overwrite: overwrite);
        foreach (var tensor in source.Tensors)
        {
            if (floats.Write(writer, tensor)) { }
            else if (!IsQuantized(tensor, plan)) CopyTensor(source, tensor, writer, layout, cancellation);
            else if (chosen?.Weights.GetValueOrDefault(ModuleName.OfTensor(tensor.Name, out _)) is { } codes)
            {
                ChosenWriter.Write(writer, tensor, codes, layout);
                count.Add(tensor, 0, codes, asBf16: layout == CheckpointLayout.Fake);
            }
            else if (layout == CheckpointLayout.Fake) WriteFake(source, tensor, writer, grid, count, cancellation);
            else WriteCodes(tensor, writer, own && SourceCodes.Has(source, tensor) ? SourceCodes.Chunks(source, tensor)
                : Rounded(WeightMatrix.Of(source, tensor), plan.Granularity, grid, cancellation), count, cancellation);
            progress?.Invoke(done += tensor.ElementCount, total);
        }
        floats.WriteAdded(writer);
        cancellation.ThrowIfCancellationRequested();
        if (layout == CheckpointLayout.Fake) CompanionFiles.Copy(source, folder, untie: floats.Unties);
        if (chosen is not null) ChosenCodes.Write(folder, chosen, floats.Digests);
        else ChosenCodes.Delete(folder);
        record.Write(folder);
        writer.Complete();
        return record with { SourceIntegers = count.Result };
    }

    /// <summary>The tensors that a source tensor becomes: names, types and shapes as the loader expects them.</summary>
    public static IEnumerable<TensorDeclaration> Declare(TensorInfo tensor, QuantizationPlan plan, CheckpointLayout layout)
    {
        string name = layout == CheckpointLayout.Nxd ? Bare(tensor.Name) : tensor.Name;
        if (layout == CheckpointLayout.Fake || !IsQuantized(tensor, plan))
        {
            yield return new TensorDeclaration(name, IsFloat(tensor.Type) ? TensorType.BF16 : tensor.Type, tensor.Shape);
            yield break;
        }
        yield return new TensorDeclaration(name, StoredType(plan.Format), tensor.Shape);
        yield return new TensorDeclaration(ScaleName(name), TensorType.F32, plan.Granularity == Granularity.PerChannelSymmetric
            ? [tensor.Shape[0], 1] : [1]);
    }

    /// <summary>The element type in which a format's codes are stored.</summary>
    public static TensorType StoredType(Format format) => format switch
    {
        Format.Int8 => TensorType.I8,
        Format.F8E4M3 => TensorType.F8E4M3,
        Format.F8E5M2 => TensorType.F8E5M2,
        _ => TensorType.BF16,
    };

    internal static bool IsQuantized(TensorInfo tensor, QuantizationPlan plan) =>
        plan[ModuleName.OfTensor(tensor.Name, out string parameter)] != Format.Bf16 && parameter == "weight";

    internal static string ScaleName(string weight) => weight[..^"weight".Length] + "scale";

    internal static bool IsFloat(TensorType type) => type is TensorType.F64 or TensorType.F32 or TensorType.F16 or TensorType.BF16;

    internal static string Bare(string name) => name.StartsWith("model.", StringComparison.Ordinal) ? name["model.".Length..] : name;

    private static void Check(QuantizationPlan plan, CheckpointLayout layout, Grid grid, Grid native)
    {
        if (layout == CheckpointLayout.Fake && plan.Granularity == Granularity.PerTensorSymmetric)
            throw new QuantizationException("plan", "NxDI's per-tensor grid (127.5) cannot be kept through a bf16 file. Use per_channel_symmetric, or layout nxd.");
        if (layout == CheckpointLayout.Nxd && grid.WhyNotOnNeuron is { } reason)
            throw new QuantizationException("plan", $"the grid '{grid}' cannot be loaded on Inferentia: {reason}. "
                + "Write layout fake, the same values in bf16, to measure them anywhere; or for a GPU, nq quantize --layout auto-round, which "
                + "holds symmetric codes of 4 and 8 bits in groups.");
        if (layout == CheckpointLayout.Nxd && grid != native)
            throw new QuantizationException("plan", $"layout nxd is written on NxDI's own grid ({native}); the grid '{grid}' can only be written as layout fake.");
        if (grid.Format != plan.Format)
            throw new QuantizationException("plan", $"the grid '{grid}' does not hold codes of {plan.Format.NxdiName()}.");
    }

    // What was asked for in place of codes that the source may have.
    private static string? Request(QuantizationPlan plan, CheckpointLayout layout, Grid? grid, QuantizedModules? chosen) =>
        chosen is not null ? $"{chosen.Method} was asked for"
        : grid is not null ? $"the grid '{grid}' was asked for"
        : (plan.Format, plan.Granularity) is not (Format.Int8, Granularity.PerChannelSymmetric)
            ? $"{plan.Format.NxdiName()} {plan.Granularity.NxdiName()} was asked for"
        : layout == CheckpointLayout.Fake ? "a bf16 file must hold what NxDI rounds to the same codes again" : null;

    private static void WriteCodes(
        TensorInfo tensor, CheckpointWriter writer, IEnumerable<QuantizedWeight> chunks, IntegerCount count, CancellationToken cancellation)
    {
        string name = Bare(tensor.Name);
        int first = 0;
        foreach (var rows in chunks)
        {
            cancellation.ThrowIfCancellationRequested();
            writer.Write(name, rows.Codes.AsSpan(0, rows.Rows * rows.Columns));
            bool perChannel = rows.Granularity == Granularity.PerChannelSymmetric;
            if (perChannel || first == 0) writer.Write(ScaleName(name), MemoryMarshal.AsBytes(rows.Scales.AsSpan(0, perChannel ? rows.Rows : 1)));
            count.Add(tensor, first, rows);
            first += rows.Rows;
        }
    }

    // The buffers are the same for every chunk.
    private static IEnumerable<QuantizedWeight> Rounded(WeightMatrix weight, Granularity granularity, Grid grid, CancellationToken cancellation)
    {
        var (codes, scales) = (Array.Empty<byte>(),
            granularity == Granularity.PerTensorSymmetric ? [RoundToNearest.TensorScale(weight, grid, cancellation)] : Array.Empty<float>());
        foreach (var chunk in weight.Chunks())
        {
            if (codes.Length < chunk.Count) codes = new byte[chunk.Count];
            if (granularity == Granularity.PerChannelSymmetric && scales.Length < chunk.Rows) scales = new float[chunk.Rows];
            RoundToNearest.QuantizeInto(chunk, grid, granularity, codes, scales, cancellation);
            yield return new QuantizedWeight(weight.Name, grid, granularity, chunk.Rows, chunk.Columns, codes, scales);
        }
    }

    private static void WriteFake(
        Checkpoint source, TensorInfo tensor, CheckpointWriter writer, Grid grid, IntegerCount count, CancellationToken cancellation)
    {
        int first = 0;
        foreach (var chunk in WeightMatrix.Of(source, tensor).Chunks(1 << 22))
        {
            var rows = FakeQuantization.OnGrid(chunk, grid, cancellation);
            writer.Write(tensor.Name, MemoryMarshal.AsBytes(rows.DequantizeBf16().AsSpan()));
            count.Add(tensor, first, rows, asBf16: true);
            first += rows.Rows;
        }
    }

    internal static void CopyTensor(Checkpoint source, TensorInfo tensor, CheckpointWriter writer, CheckpointLayout layout,
        CancellationToken cancellation)
    {
        string name = layout == CheckpointLayout.Nxd ? Bare(tensor.Name) : tensor.Name;
        const int step = 1 << 22; // bytes, or elements where they must be converted
        bool convert = IsFloat(tensor.Type) && tensor.Type != TensorType.BF16;
        long length = convert ? tensor.ElementCount : tensor.ByteCount;
        var (floats, codes) = convert ? (new float[Math.Min(step, length)], new ushort[Math.Min(step, length)]) : ([], []);
        for (long offset = 0; offset < length; offset += step)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = (int)Math.Min(step, length - offset);
            if (!convert)
            {
                var bytes = source.Bytes(tensor, offset, count);
                if (tensor.Type == TensorType.BF16) FiniteValues.CheckBytes(tensor.Name, offset, bytes);
                writer.Write(name, bytes);
                continue;
            }
            source.ReadFloats(tensor, offset, floats.AsSpan(0, count));
            BFloat16.Encode(floats.AsSpan(0, count), codes.AsSpan(0, count));
            FiniteValues.Check(tensor.Name, offset, codes.AsSpan(0, count));
            writer.Write(name, MemoryMarshal.AsBytes(codes.AsSpan(0, count)));
        }
    }
}
