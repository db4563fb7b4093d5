using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.Evaluation;

/// <summary>Two models on the same questions: on how many they differ, and whether that could be chance.</summary>
/// <param name="Metric">the metric compared</param>
/// <param name="Model">the model in question</param>
/// <param name="Baseline">the model it is compared with</param>
/// <param name="BothRight">questions both answer rightly</param>
/// <param name="OnlyModel">questions only the model answers rightly</param>
/// <param name="OnlyBaseline">questions only the baseline answers rightly</param>
/// <param name="BothWrong">questions neither answers rightly</param>
/// <remarks>
/// Two scores with overlapping intervals may still differ for certain, and the other way round: most questions are answered alike, and only
/// the others count. So never compare two intervals; compare the answers. See <see cref="Statistics.McNemar"/>.
/// </remarks>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record PairedComparison(string Metric, string Model, string Baseline, int BothRight, int OnlyModel, int OnlyBaseline, int BothWrong)
{
    /// <summary>Questions in all.</summary>
    public int Total => BothRight + OnlyModel + OnlyBaseline + BothWrong;

    /// <summary>The model's accuracy less the baseline's, -1 to 1.</summary>
    public double Difference => (OnlyModel - OnlyBaseline) / (double)Total;

    /// <summary>A 95 % interval of the difference; see <see cref="Statistics.PairedDifference"/>.</summary>
    public (double Low, double High) Interval => Statistics.PairedDifference(OnlyModel, OnlyBaseline, Total);

    /// <summary>McNemar's exact two-sided p-value.</summary>
    public double PValue => Statistics.McNemar(OnlyModel, OnlyBaseline);

    /// <summary>Compares two results.</summary>
    /// <param name="model">the model's result</param>
    /// <param name="baseline">the baseline's result, on the same questions</param>
    /// <param name="metric">the first metric of the task when null</param>
    /// <exception cref="EvaluationException">The two did not answer the same questions.</exception>
    public static PairedComparison Of(EvaluationResult model, EvaluationResult baseline, string? metric = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(baseline);
        return Of(model.Samples, model.Model, baseline.Samples, baseline.Model, metric ?? model.Metrics[0]);
    }

    /// <summary>Compares a result with a baseline's samples file.</summary>
    /// <exception cref="EvaluationException">The file is damaged, or of other questions.</exception>
    public static PairedComparison Of(EvaluationResult model, string baselineSamples, string? metric = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        var (header, samples) = SamplesFile.Read(baselineSamples);
        return Of(model.Samples, model.Model, samples, header.Model, metric ?? model.Metrics[0]);
    }

    /// <summary>One row.</summary>
    public DataFrame ToDataFrame() => new FrameRows($"{Model} against {Baseline}: {Metric}", "questions", "both right", $"only {Model}", $"only {Baseline}",
        "both wrong", new Column("difference, points", "+0.0;-0.0;0.0"), new Column("p (McNemar, exact)", "0.0000"))
        .Row(Total, BothRight, OnlyModel, OnlyBaseline, BothWrong, 100 * Difference, PValue);

    /// <summary>The table for a notebook.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant(
        $"{Model} against {Baseline}, {Metric}: {100 * Difference:+0.0;-0.0;0.0} points on {Total} questions; ")
        + FormattableString.Invariant($"{OnlyModel} won, {OnlyBaseline} lost, p = {PValue:0.0000}");

    private static PairedComparison Of(IReadOnlyList<Sample> model, string name, IReadOnlyList<Sample> baseline, string baselineName, string metric)
    {
        bool same = model.Count == baseline.Count && model.Zip(baseline).All(pair =>
            pair.First.Index == pair.Second.Index && pair.First.PromptHash == pair.Second.PromptHash && pair.First.Gold == pair.Second.Gold);
        if (!same || model.Count == 0)
            throw new EvaluationException(EvaluationFailure.SamplesDiffer, $"{name} and {baselineName}",
                $"{model.Count} and {baseline.Count} answers, not to the same prompts", "answers to the same prompts in the same order",
                "Evaluate both with the same task, data, examples and number of questions.");
        var pairs = model.Zip(baseline, (first, second) => (First: Judged(first, metric), Second: Judged(second, metric))).ToArray();
        return new PairedComparison(metric, name, baselineName, pairs.Count(pair => pair is (true, true)), pairs.Count(pair => pair is (true, false)),
            pairs.Count(pair => pair is (false, true)), pairs.Count(pair => pair is (false, false)));
    }

    private static bool Judged(Sample sample, string metric) => sample.Correct.TryGetValue(metric, out bool right)
        ? right
        : throw new EvaluationException(EvaluationFailure.SamplesDiffer, $"sample {sample.Index}",
            $"the metrics {string.Join(", ", sample.Correct.Keys)}", metric, "Name a metric that both have.");
}
