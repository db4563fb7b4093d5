using System.CommandLine;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq quantize</c>: quantize by round to nearest or a method by name, and write the folder that NxDI loads (nxd), a bf16 folder (fake), or one
/// for a GPU.
/// </summary>
internal static class QuantizeCommand
{
    public static Command Create()
    {
        var (model, json, keep) = (Arguments.Model(), Arguments.Json(), Arguments.Keep());
        var output = new Option<string>("--out") { Description = "The folder to write; it appears whole or not at all.", Required = true };
        var format = Arguments.Choice("--format", "Format of the quantized weights", "int8", "int8", "f8e4m3", "f8e5m2");
        var type = Arguments.Choice("--type", "NxDI's quantization_type", "per_channel_symmetric", "per_channel_symmetric", "per_tensor_symmetric");
        var layout = Arguments.Choice("--layout",
            "Codes and scales for NxDI, fake-quantized bf16 weights, or codes as vLLM reads them on a GPU",
            "nxd", "nxd", "fake", "compressed-tensors", "auto-round");
        var grid = new GridOptions();
        var method = new MethodOptions();
        var overwrite = new Option<bool>("--overwrite") { Description = "Replace a checkpoint that is already in the folder." };
        var command = new Command("quantize", "Quantize a checkpoint by round to nearest, exactly as NxD Inference does.")
        {
            model, output, format, type, keep, layout, overwrite, json,
        };
        grid.AddTo(command);
        method.AddTo(command);
        command.SetAction((result, cancellation) => Task.Run(() =>
        {
            var request = new QuantizeRequest(
                result.GetRequiredValue(model), result.GetRequiredValue(output), FormatNames.Parse(result.GetRequiredValue(format)),
                GranularityNames.Parse(result.GetRequiredValue(type)), result.GetValue(keep) ?? [], result.GetRequiredValue(layout),
                grid.Read(result), result.GetValue(overwrite), result.GetValue(json));
            return method.Read(result) is { } chosen ? MethodJob.Run(request, chosen, cancellation) : Run(request, cancellation);
        }));
        return command;
    }

    private static int Run(QuantizeRequest request, CancellationToken cancellation)
    {
        var (model, output, format, granularity, keep, layout, grid, overwrite, json) = request;
        using var source = ModelSource.Open(model);
        if (source.HasConfig) ExpectedTensors.Check(source, source.Config);
        if (layout is "compressed-tensors" or "auto-round")
            return RunGpu(source, output, format, granularity, keep, layout == "auto-round" ? GpuLayout.AutoRound : GpuLayout.CompressedTensors,
                grid, overwrite, json, cancellation);
        var plan = QuantizationPlan.Create(source, format, granularity, keep);
        var kind = layout == "fake" ? CheckpointLayout.Fake : CheckpointLayout.Nxd;
        var record = CommandOutput.WithProgress("quantizing",
            progress => NeuronCheckpoint.Write(source, output, plan, kind, grid, overwrite, progress, cancellation), cancellation);
        using var written = Checkpoint.OpenStored(output);
        if (json)
        {
            CommandOutput.Json(new
            {
                record,
                notes = CheckpointNotes.Of(source).Union(plan.Notes),
                source_bytes = source.ByteCount,
                bytes = written.ByteCount,
                kept = plan.Kept.Select(module => module.Name),
                source_integers = IntegerOutput.Document(record.SourceIntegers),
            });
            return 0;
        }
        IntegerOutput.Say(record.SourceIntegers);
        foreach (string note in plan.Notes.Except(CheckpointNotes.Of(source))) CommandOutput.Note(note);
        if (grid?.WhyNotOnNeuron is { } reason)
            CommandOutput.Note($"values of the grid '{grid}' in a bf16 folder: for measuring, since {reason}.");
        else if (grid is not null)
            CommandOutput.Note($"the grid '{grid}' does not survive NxDI's second rounding: run nq audit {model} {output} for the count.");
        string what = $"{record.QuantizationDtype} {record.QuantizationType}, layout {record.Layout}, {record.Codes}";
        Say($"{output}: {what}", plan, source, written);
        return 0;
    }

    private static int RunGpu(Checkpoint source, string output, Format format, Granularity granularity, string[] keep, GpuLayout layout, Grid? grid,
        bool overwrite, bool json, CancellationToken cancellation)
    {
        // vLLM's head is no linear layer in these formats, so it is kept without being asked.
        bool addHead = !keep.Any(entry => "lm_head".Contains(entry, StringComparison.Ordinal))
            && QuantizationPlan.LinearModules(source).Any(module => module.Type == "lm_head");
        var plan = QuantizationPlan.Create(source, format, granularity, addHead ? [.. keep, "lm_head"] : keep);
        var record = CommandOutput.WithProgress("quantizing",
            progress => GpuCheckpoint.Write(source, output, plan, layout, grid, overwrite, progress, cancellation), cancellation);
        using var written = Checkpoint.OpenStored(output);
        if (json)
        {
            CommandOutput.Json(new
            {
                record.Layout,
                record.Codes,
                record.Weights,
                record.IntegersChanged,
                modules = record.Modules.Select(IntegerOutput.Document),
                source_integers = IntegerOutput.Document(record.SourceIntegers),
                source_bytes = source.ByteCount,
                bytes = written.ByteCount,
                kept = plan.Kept.Select(module => module.Name),
            });
            return 0;
        }
        if (addHead) CommandOutput.Note("lm_head stays in bf16: vLLM does not quantize the head in this layout.");
        if (layout == GpuLayout.CompressedTensors)
            CommandOutput.Note("vLLM runs int-quantized with activations in int8, too. For weights alone give --layout auto-round.");
        IntegerOutput.Say(record.SourceIntegers);
        if (record.SourceIntegers?.ScalesChanged > 0 && layout == GpuLayout.AutoRound)
            CommandOutput.Note("auto-round's layout holds scales in float16: those of the source that have more bits were rounded.");
        if (record.IntegersChanged > 0)
            CommandOutput.Note($"read by value and rounded by NxDI, {record.IntegersChanged} of {record.Weights} integers would change; "
                + $"nq quantize {output} takes codes and scales over as they are.");
        Say($"{output}: layout {record.Layout}, {record.Codes}", plan, source, written);
        return 0;
    }

    private static void Say(string what, QuantizationPlan plan, Checkpoint source, Checkpoint written)
    {
        int kept = plan.Kept.Count(), quantized = plan.Modules.Count() - kept;
        string bytes = FormattableString.Invariant($"{source.ByteCount / 1e9:0.####} GB -> {written.ByteCount / 1e9:0.####} GB");
        CommandOutput.Say($"{what}; {quantized} modules quantized, {kept} kept in bf16; {bytes}");
    }
}
