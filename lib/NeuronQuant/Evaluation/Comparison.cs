using Microsoft.Data.Analysis;
using NeuronQuant.Display;
using Plotly.NET;
using Chart = Plotly.NET.CSharp.Chart;

namespace NeuronQuant.Evaluation;

/// <summary>
/// Several results on the same questions, each beside a baseline: accuracy with its interval, and what the paired test says of the
/// difference. This is the table to publish; the samples behind it are the evidence.
/// </summary>
/// <param name="Baseline">what the others are compared with</param>
/// <param name="Results">the others, in the order of the table</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record Comparison(EvaluationResult Baseline, IReadOnlyList<EvaluationResult> Results)
{
    /// <summary>Compares results with a baseline.</summary>
    public static Comparison With(EvaluationResult baseline, params EvaluationResult[] results) => new(baseline, results);

    /// <summary>A row for the baseline and one for each result.</summary>
    /// <exception cref="EvaluationException">a result is of other questions</exception>
    public DataFrame ToDataFrame()
    {
        var table = new FrameRows($"{Baseline.Task}, {Baseline.Samples.Count} questions, {Baseline.Metrics[0]}", "model", new Column("accuracy %", "0.0"),
            new Column("95 % from", "0.0"), new Column("to", "0.0"), new Column("difference", "+0.0;-0.0;0.0"), "won", "lost", new Column("p, McNemar", "0.0000"));
        var main = Baseline.Main;
        table.Row(Baseline.Model, 100 * main.Accuracy, 100 * main.Interval.Low, 100 * main.Interval.High, null, null, null, null);
        foreach (var result in Results)
        {
            var (score, paired) = (result.Main, PairedComparison.Of(result, Baseline));
            table.Row(result.Model, 100 * score.Accuracy, 100 * score.Interval.Low, 100 * score.Interval.High, 100 * paired.Difference, paired.OnlyModel, paired.OnlyBaseline, paired.PValue);
        }
        return table;
    }

    /// <summary>Accuracy of each with its 95 % interval, those that differ from the baseline with p below 0.05 in a colour of their own. The axis does not begin at zero.</summary>
    public GenericChart ToChart()
    {
        var different = Results.Where(result => PairedComparison.Of(result, Baseline).PValue < 0.05).ToHashSet();
        EvaluationResult[] all = [Baseline, .. Results];
        GenericChart Points(string name, Func<EvaluationResult, bool> belongs)
        {
            EvaluationResult[] shown = [.. all.Where(belongs)];
            double[] accuracy = [.. shown.Select(result => 100 * result.Main.Accuracy)];
            return Chart.Point<string, double, string>(x: shown.Select(result => result.Model).ToArray(), y: accuracy, Name: name)
                .Between(accuracy, shown.Select(result => (100 * result.Main.Interval.Low, 100 * result.Main.Interval.High)));
        }
        GenericChart[] series = [Points("not told apart from the baseline", result => !different.Contains(result)),
            .. different.Count == 0 ? Array.Empty<GenericChart>() : [Points($"differs from {Baseline.Model}, p < 0.05", different.Contains)]];
        return Charts.Together(series).Titled($"{Baseline.Task}: exact match on {Baseline.Samples.Count} questions, with 95 % intervals").Axes("", "accuracy (%)")
            .Layout(layout => layout.Set("xaxis", new { categoryorder = "array", categoryarray = all.Select(result => result.Model).ToArray() }));
    }

    /// <summary>The table for a notebook.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The table as text.</summary>
    public override string ToString() => ToDataFrame().ToText();
}
