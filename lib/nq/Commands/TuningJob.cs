using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>What every tuning needs before it starts, and what is done with its codes afterwards: write the folder, say what it is.</summary>
internal sealed class TuningJob : IDisposable
{
    private readonly Lazy<LlamaModel> _model;
    private readonly ModelWalk _walk;

    private TuningJob(TuningRequest request, TuningRecipe recipe, CancellationToken cancellation)
    {
        Request = request;
        Source = ModelSource.Open(request.Model);
        try
        {
            TargetGuard.Check(Source, request.Output);
            TargetGuard.Check(Source, request.State);
            FiniteValues.Check(Source, cancellation);
            Plan = QuantizationPlan.Create(Source, Format.Int8, modulesToNotConvert: request.Keep);
            Grids = TuningGrids.Of(Plan, request.Grid);
            _walk = ModelWalk.Of(Source, request.Place); // Refuses what is not computed here, before any text is read.
            _model = new Lazy<LlamaModel>(() => ModelFiles.Load(Source, request.Place));
            (Calibration, Origin) = request.Source(recipe).ReadSet(Source.Config, () => Model, CalibrationSource.TokenizerOf(Source), cancellation);
        }
        catch
        {
            Source.Dispose();
            throw;
        }
    }

    public TuningRequest Request { get; }

    public Checkpoint Source { get; }

    public QuantizationPlan Plan { get; }

    public IReadOnlyDictionary<ModuleName, Grid> Grids { get; }

    /// <summary>The whole model in memory, loaded when it is first asked for.</summary>
    public LlamaModel Model => _model.Value;

    /// <summary>A block at a time, from the checkpoint unless the model is in memory already.</summary>
    public ModelWalk Walk => _model.IsValueCreated ? ModelWalk.Of(Model) : _walk;

    public CalibrationSet Calibration { get; }

    public string Origin { get; }

    /// <summary>Opens the model, resolves the plan and reads or writes the calibration texts.</summary>
    public static TuningJob Open(TuningRequest request, TuningRecipe recipe, CancellationToken cancellation) => new(request, recipe, cancellation);

    /// <summary>Writes the folder and says what was done.</summary>
    /// <param name="chosen">the tuned codes</param>
    /// <param name="table">the losses, for a person</param>
    /// <param name="losses">the losses, for --json</param>
    /// <param name="seed">of what was drawn; null where nothing was</param>
    /// <param name="cancellation">stops the write</param>
    public void Finish(QuantizedModules chosen, DataFrame table, object losses, ulong? seed, CancellationToken cancellation)
    {
        var record = CommandOutput.WithProgress("writing", progress => NeuronCheckpoint.Write(
            Source, Request.Output, Plan, Request.Layout, overwrite: Request.Overwrite, progress: progress, cancellation: cancellation,
            chosen: chosen with { Computation = Request.Place.Record(seed, Origin) }), cancellation);
        using var written = Checkpoint.OpenStored(Request.Output);
        if (Request.Json)
        {
            CommandOutput.Json(new
            {
                record,
                Request.Grid.Bits,
                losses,
                notes = CheckpointNotes.Of(Source).Union(Plan.Notes),
                source_bytes = Source.ByteCount,
                bytes = written.ByteCount,
                kept = Plan.Kept.Select(module => module.Name),
                source_integers = IntegerOutput.Document(record.SourceIntegers),
            });
            return;
        }
        foreach (string note in Plan.Notes.Except(CheckpointNotes.Of(Source))) CommandOutput.Note(note);
        IntegerOutput.Say(record.SourceIntegers);
        CommandOutput.Note($"calibration: {Origin}; computed in {Request.Place} with {Torch.Threads} threads.");
        if (record.IntegersChanged > 0)
            CommandOutput.Note(FormattableString.Invariant(
                $"NxDI will change {record.IntegersChanged} of {chosen.Count} integers ({100.0 * record.IntegersChanged / chosen.Count:0.0} %) of this bf16 folder when it rounds again. Use --grid nxd, or --layout nxd."));
        if (Request.Grid.Bits < 8) CommandOutput.Note($"values of {Request.Grid.Bits} bits in a bf16 folder: for measuring; NxDI would store them in 8 bits.");
        CommandOutput.Show(table);
        CommandOutput.Say(FormattableString.Invariant(
            $"{Request.Output}: {record.Method} on the grid {Request.Grid}, layout {record.Layout}; {chosen.Weights.Count} modules tuned, {Plan.Kept.Count()} kept in bf16; {Source.ByteCount / 1e9:0.####} GB -> {written.ByteCount / 1e9:0.####} GB. Check it: nq audit {Request.Model} {Request.Output}"));
    }

    public void Dispose() => Source.Dispose();
}
