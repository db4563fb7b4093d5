using Microsoft.Data.Analysis;
using NeuronQuant.Display;
using NeuronQuant.Evaluation;

namespace NeuronQuant.Neuron;

/// <summary>
/// Runs on a device beside the figures that somebody recorded, quantity by quantity. A difference is given only where both are of the same
/// architecture and the same method and the run was a real one; everything else says what it is instead.
/// </summary>
/// <remarks>
/// Recorded sizes are in units of 1e9 bytes, and nobody says how they were read. A score's difference is in percent of the recorded score
/// like the others; whether it could be chance is another question, for which the number of questions is in the remark.
/// </remarks>
public static class MeasuredBesideRecorded
{
    /// <summary>What stands where no run was given.</summary>
    public const string NotMeasured = "not measured";

    /// <summary>What stands where the source gives no figure.</summary>
    public const string NotRecorded = "not recorded";

    private const string Gsm8k = "GSM8K %", Weights = "weights GB", Memory = "device memory GB", Token = "ms per token",
        First = "ms to the first token";

    /// <summary>The comparison.</summary>
    /// <param name="recorded">the recorded figures</param>
    /// <param name="runs">the runs; none on a machine that never saw a device</param>
    public static DataFrame ToDataFrame(RecordedFigures recorded, IReadOnlyList<DeviceRun> runs)
    {
        var table = new FrameRows($"{recorded.Model}: recorded by others, and measured", "method", "what", new Column("recorded", "0.0"),
            new Column("measured", "0.0"), new Column("difference %", "+0.0;-0.0;0.0"), "remark");
        foreach (var row in recorded.Rows)
        {
            DeviceRun?[] matching = [.. runs.Where(run => run.Setup is { BlogsModel: true, StandIn: false } && run.Setup.Method == row.Method)];
            foreach (var run in matching.DefaultIfEmpty(null))
                foreach (var (what, found, known) in Quantities(run, row).Where(each => each.Found is not null || each.Known is not null))
                    Add(table, row.Method, what, known, found, run is null ? "" : Remark(run, what));
        }
        foreach (var run in runs.Where(run => run.Setup.StandIn || !run.Setup.BlogsModel || recorded.Rows.All(row => row.Method != run.Setup.Method)))
            foreach (var (what, found, _) in Quantities(run, null).Where(quantity => quantity.Found is not null))
                Add(table, $"{run.Setup.Method} ({run.Setup.Model})", what, null, found, Remark(run, what));
        if (runs.Count == 0) Add(table, "each", Token, null, null, "");
        return table;
    }

    private static void Add(FrameRows table, string method, string what, double? known, double? found, string remark) =>
        table.Row(method, what, known, found, known is null || found is null ? null : 100 * (found / known - 1),
            string.Join("; ", new[] { known is null ? NotRecorded : "", found is null ? NotMeasured : "", remark }.Where(part => part.Length > 0)));

    private static IEnumerable<(string What, double? Found, double? Known)> Quantities(DeviceRun? run, RecordedRow? row) =>
    [
        (run?.Score is { Task: not "gsm8k" } other && row is null ? $"{other.Task} %" : Gsm8k,
            run?.Score is { } score && (score.Task == "gsm8k" || row is null) ? 100 * score.Score.Accuracy : null, row?.Gsm8kPercent),
        (Weights, run?.WeightBytes / 1e9, row?.WeightsGb), (Memory, run?.MemoryBytes?.Device / 1e9, row?.PeakGb),
        (First, run?.LatencyMs?.FirstTokenP50, null), (Token, run?.LatencyMs?.TokenP50, null),
    ];

    private static string Remark(DeviceRun run, string what) => string.Join("; ", new[]
    {
        run.Setup.StandIn ? "a stand-in, no measurement" : "",
        run.Setup.BlogsModel ? "" : "another model, not comparable",
        what.EndsWith('%') && run.Score is { } score ? Interval(score.Score) : "",
        what is Token or First && run.LatencyMs is { } latency ? $"batch {run.Setup.BatchSize}, tp {run.Setup.TpDegree}, {latency.Runs} runs" : "",
    }.Where(part => part.Length > 0));

    private static string Interval(Score score) =>
        FormattableString.Invariant($"{score.Total} questions, 95 % interval {100 * score.Interval.Low:0.0} to {100 * score.Interval.High:0.0}");
}
