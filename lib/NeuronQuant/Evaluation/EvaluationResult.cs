using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.Evaluation;

/// <summary>One metric of a result.</summary>
/// <param name="Metric">its name, such as "strict-match"</param>
/// <param name="Group">the part of the task; empty for the whole</param>
/// <param name="Right">right answers</param>
/// <param name="Total">questions</param>
public sealed record Score(string Metric, string Group, int Right, int Total)
{
    /// <summary>Share of right answers, 0 to 1.</summary>
    public double Accuracy => Total == 0 ? double.NaN : (double)Right / Total;

    /// <summary>Wilson's 95 % interval of the share.</summary>
    public (double Low, double High) Interval => Statistics.Wilson(Right, Total);

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant(
        $"{Metric} {100 * Accuracy:0.0} % ({Right} of {Total}, 95 % interval {100 * Interval.Low:0.0} to {100 * Interval.High:0.0})");
}

/// <summary>A model's score on a task, with every answer behind it.</summary>
/// <param name="Task">the task's name</param>
/// <param name="Model">the model's name</param>
/// <param name="Settings">the task's settings, in words</param>
/// <param name="Metrics">the task's metrics, the one to report first</param>
/// <param name="Samples">every answer, in the order of the questions</param>
/// <param name="Groups">for each answer the part of the task it belongs to; empty text for none</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record EvaluationResult(string Task, string Model, string Settings, IReadOnlyList<string> Metrics, IReadOnlyList<Sample> Samples,
    IReadOnlyList<string> Groups)
{
    /// <summary>The score of the first metric on the whole task.</summary>
    public Score Main => Of(Metrics[0]);

    /// <summary>The score of a metric on the whole task.</summary>
    public Score Of(string metric) => new(metric, "", Samples.Count(sample => sample.Correct[metric]), Samples.Count);

    /// <summary>Every metric of the whole task, then of each of its parts.</summary>
    public IReadOnlyList<Score> Scores() => [.. Metrics.Select(Of), .. Metrics.SelectMany(ByGroup)];

    /// <summary>A row for each metric, and for each metric and part.</summary>
    public DataFrame ToDataFrame()
    {
        var table = new FrameRows($"{Task}: {Model}", "metric", "part", "questions", "right", new Column("accuracy %", "0.0"),
            new Column("95 % from", "0.0"), new Column("to", "0.0"));
        foreach (var score in Scores())
            table.Row(score.Metric, score.Group, score.Total, score.Right, 100 * score.Accuracy, 100 * score.Interval.Low, 100 * score.Interval.High);
        return table;
    }

    /// <summary>The table for a notebook.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <inheritdoc/>
    public override string ToString() => $"{Task}, {Model}: {string.Join("; ", Metrics.Select(Of))}. {Settings}.";

    private IEnumerable<Score> ByGroup(string metric) => Samples.Zip(Groups).Where(pair => pair.Second.Length > 0).GroupBy(pair => pair.Second)
        .OrderBy(group => group.Key, StringComparer.Ordinal)
        .Select(group => new Score(metric, group.Key, group.Count(pair => pair.First.Correct[metric]), group.Count()));
}
