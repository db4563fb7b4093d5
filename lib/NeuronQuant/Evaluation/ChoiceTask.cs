using System.Globalization;

namespace NeuronQuant.Evaluation;

/// <summary>Tasks whose answer is one of given texts: the model's choice is the text it finds most likely after the prompt.</summary>
/// <remarks>
/// acc takes the largest log-likelihood of " " + choice, summed over tokens; acc_norm divides it by the choice's length in characters
/// (code points, without the space), so that a long answer is not punished for being long. Not by tokens: that would make the metric
/// depend on the tokenizer. Of equal values the first counts. Source: lm_eval/api/task.py, process_results of multiple_choice.
/// </remarks>
internal static class ChoiceTask
{
    public const string Accuracy = "acc";

    public const string NormalizedAccuracy = "acc_norm";

    public static EvaluationTask Build(string name, string settings, string[] metrics, IReadOnlyList<EvaluationItem> items) =>
        new(name, settings, metrics, items, (model, asked, cancellation) => Ask(model, asked, metrics, cancellation));

    /// <summary>The index of the largest value, of equal ones the first.</summary>
    public static int Best(IEnumerable<double> values) => values.Select((value, index) => (value, index)).MaxBy(pair => pair.value).index;

    private static async Task<IReadOnlyList<Sample>> Ask(ILanguageModel model, IReadOnlyList<(int Index, EvaluationItem Item)> asked,
        string[] metrics, CancellationToken cancellation)
    {
        var requests = asked.SelectMany(one => one.Item.Choices.Select(choice => new Continuation(one.Item.Prompt, " " + choice))).ToArray();
        var scores = await model.Score(requests, cancellation).ConfigureAwait(false);
        var samples = new List<Sample>();
        int next = 0;
        foreach (var (index, item) in asked)
        {
            double[] likelihoods = [.. scores.Skip(next).Take(item.Choices.Count).Select(score => score.LogLikelihood)];
            next += item.Choices.Count;
            samples.Add(Judge(index, item, likelihoods, metrics));
        }
        return samples;
    }

    private static Sample Judge(int index, EvaluationItem item, double[] likelihoods, string[] metrics)
    {
        var byCharacter = likelihoods.Zip(item.Choices, (likelihood, choice) => likelihood / choice.EnumerateRunes().Count());
        var chosen = metrics.ToDictionary(metric => metric,
            metric => Best(metric == Accuracy ? likelihoods : byCharacter).ToString(CultureInfo.InvariantCulture));
        string output = string.Join(' ', likelihoods.Select(likelihood => likelihood.ToString("R", CultureInfo.InvariantCulture)));
        return new Sample(index, EvaluationTask.Hash(item.Prompt), output, item.Gold, chosen,
            chosen.ToDictionary(pair => pair.Key, pair => pair.Value == item.Gold));
    }
}
