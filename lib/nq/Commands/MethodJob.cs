using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Formats;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>What <c>nq quantize</c> was asked for.</summary>
internal sealed record QuantizeRequest(
    string Model, string Output, Format Format, Granularity Granularity, string[] Keep, string Layout, Grid? Grid, bool Overwrite, bool Json);

/// <summary>Quantizes by a method of the registry, and writes the folder: codes, scales and what was folded.</summary>
internal static class MethodJob
{
    public static int Run(QuantizeRequest request, MethodRequest method, CancellationToken cancellation)
    {
        var layout = request.Layout switch
        {
            "nxd" => CheckpointLayout.Nxd,
            "fake" => CheckpointLayout.Fake,
            _ => throw new UsageException($"--layout {request.Layout} is written by rounding to nearest. "
                + $"Write layout fake with --method {method.Row.Name}, and "
                + "quantize that folder with the layout you want."),
        };
        if (request.Format != Format.Int8 || request.Granularity != Granularity.PerChannelSymmetric)
            throw new UsageException($"--method {method.Row.Name}: methods choose int8 codes with one scale a row. Leave out --format and --type.");
        var grid = request.Grid ?? Grid.Nxd();
        if (layout == CheckpointLayout.Nxd && grid.WhyNotOnNeuron is { } reason)
            throw new UsageException($"the grid '{grid}' cannot be loaded on Inferentia: {reason}. Add --layout fake, to measure what it costs.");
        CheckpointTarget.Free(request.Output, request.Overwrite);
        using var source = ModelSource.Open(request.Model);
        TargetGuard.Check(source, request.Output);
        FiniteValues.Check(source, cancellation);
        var plan = QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: request.Keep);
        var model = ModelFiles.Load(source, method.Place);
        var (calibration, origin) = method.Row.Method.Needs == MethodNeeds.Calibration
            ? method.Calibration.ReadSet(model.Config, () => model, CalibrationSource.TokenizerOf(source), cancellation) : (null, "none needed");
        var made = method.Row.Method.Apply(model, ModelGrids.Of(plan, grid), new MethodInput(calibration, method.Seed, cancellation));
        var record = CommandOutput.WithProgress("writing", progress => NeuronCheckpoint.Write(source, request.Output, plan, layout,
            overwrite: request.Overwrite, progress: progress, cancellation: cancellation,
            chosen: made.ToModules(model) with { Computation = model.Place.Record(method.Seed, origin) }), cancellation);
        using var written = Checkpoint.OpenStored(request.Output);
        if (request.Json)
        {
            CommandOutput.Json(new
            {
                record,
                folds = made.Folds,
                source_bytes = source.ByteCount,
                bytes = written.ByteCount,
                kept = plan.Kept.Select(module => module.Name),
                source_integers = IntegerOutput.Document(record.SourceIntegers),
            });
            return 0;
        }
        foreach (string note in plan.Notes.Except(CheckpointNotes.Of(source))) CommandOutput.Note(note);
        IntegerOutput.Say(record.SourceIntegers);
        CommandOutput.Note($"calibration: {origin}. Seed {method.Seed}.");
        if (grid.WhyNotOnNeuron is { } why) CommandOutput.Note($"values of the grid '{grid}' in a bf16 folder: for measuring, since {why}.");
        if (made.Folds.Count > 0)
            CommandOutput.Show(Frames.From("What was folded", made.Folds, ("tensors", fold => fold.Tensors), ("by", fold => fold.By),
                ("why it cancels", fold => fold.Why)));
        CommandOutput.Say(FormattableString.Invariant(
            $"{request.Output}: {record.Method} on the grid {grid}, layout {record.Layout}; {made.Weights.Count} modules quantized, ")
            + FormattableString.Invariant($"{plan.Kept.Count()} kept in bf16; ")
            + FormattableString.Invariant($"{record.Folded?.Count ?? 0} other tensors changed; ")
            + FormattableString.Invariant($"{source.ByteCount / 1e9:0.####} GB -> {written.ByteCount / 1e9:0.####} GB. ")
            + $"Check it: nq audit {request.Model} {request.Output}");
        return 0;
    }
}
