using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Formats;

namespace NeuronQuant.Neuron;

/// <summary>One recorded size beside the computed one.</summary>
/// <param name="Method">the recorded row</param>
/// <param name="RecordedGb">weights as recorded, 1e9 bytes</param>
/// <param name="ComputedGb">weights by arithmetic, 1e9 bytes</param>
/// <param name="RecordedPeakGb">peak device memory as recorded, 1e9 bytes</param>
public sealed record RecordedSize(string Method, double RecordedGb, double ComputedGb, double? RecordedPeakGb)
{
    /// <summary>How far the record is from the arithmetic, percent of the arithmetic.</summary>
    public double DifferencePercent => 100 * (RecordedGb / ComputedGb - 1);
}

/// <summary>
/// The sizes that the blog recorded, beside what its model weighs by arithmetic. The blog does not say how it measured them, so the
/// difference is shown and not explained away.
/// </summary>
public static class PlanRecorded
{
    /// <summary>Every recorded row that has a size and is one of: unquantized, all int8, selective.</summary>
    /// <param name="model">the architecture that the figures are of</param>
    /// <param name="figures">the recorded figures</param>
    public static IReadOnlyList<RecordedSize> Compare(ModelConfig model, RecordedFigures figures)
    {
        var instance = PlanInstance.Named("inf2.8xlarge");
        var requests = new Dictionary<string, PlanRequest>
        {
            ["unquantized"] = new(instance, Format: Format.Bf16),
            ["all int8"] = new(instance),
            ["selective"] = new(instance, Keep: figures.ModulesToNotConvert),
        };
        return [.. figures.Rows.Where(row => row.WeightsGb is not null && requests.ContainsKey(row.Method)).Select(row =>
            new RecordedSize(row.Method, row.WeightsGb!.Value, InferencePlan.Create(model, requests[row.Method]).Weights.Gigabytes, row.PeakGb))];
    }

    /// <summary>The comparison as a table.</summary>
    public static DataFrame ToDataFrame(ModelConfig model, RecordedFigures figures) =>
        Frames.From("Weights of the blog's model: recorded and computed",
        Compare(model, figures), ("method", size => size.Method), (new Column("recorded GB", "0.0"), size => size.RecordedGb),
        (new Column("computed GB", "0.00"), size => size.ComputedGb), (new Column("difference %", "+0.0;-0.0;0.0"), size => size.DifferencePercent),
        (new Column("recorded peak GB", "0.0"), size => size.RecordedPeakGb));

    /// <summary>True when a model has the blog's shapes, whatever its weights.</summary>
    public static bool IsBlogsModel(ModelConfig model) => model is
    {
        LayerCount: 40, HiddenSize: 5120, IntermediateSize: 14336, HeadCount: 32, KeyValueHeadCount: 8, HeadSize: 128,
        VocabularySize: 131072, TieWordEmbeddings: false,
    };
}
