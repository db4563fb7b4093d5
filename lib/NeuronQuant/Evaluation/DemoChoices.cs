using System.Globalization;

namespace NeuronQuant.Evaluation;

/// <summary>The demo task as multiple choice: four worked answers to a problem, of which one ends in the right number.</summary>
/// <remarks>
/// ARC and HellaSwag have this form, but no model that fits into a repository is better than chance at them. Here the wrong answers have the
/// right steps and, in the last one, a result that is off by one, by ten, or by one the other way; a model must know the sum, and cannot tell by
/// the wording. Graded as ARC is: by the likelihood of each answer (acc), and by that divided by its length (acc_norm). Nothing is
/// written, so it costs a forward pass where a problem costs forty.
/// </remarks>
public static class DemoChoices
{
    private static readonly int[] Off = [1, -1, 10];

    /// <summary>The held-out problems that models are graded on, as choices.</summary>
    /// <param name="count">questions</param>
    public static EvaluationTask Task(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        var random = new DemoRandom(DemoTask.GradingSeed);
        return ChoiceTask.Build("demo_choices", "0-shot; four worked answers by log-likelihood", [ChoiceTask.Accuracy, ChoiceTask.NormalizedAccuracy],
            [.. DemoTask.Generate(DemoPart.HeldOut, DemoTask.GradingSeed, count).Select(problem => Item(problem, random.Between(0, Off.Length)))]);
    }

    private static EvaluationItem Item(DemoProblem problem, int place)
    {
        var choices = Off.Select(off => Ending(problem, problem.Numbers[^1] + off)).ToList();
        choices.Insert(place, problem.Problem.Answer);
        return new EvaluationItem(WordProblemTask.Prompt([], problem.Problem.Question), choices, place.ToString(CultureInfo.InvariantCulture));
    }

    // The answer with another number behind its last "=" and behind "####".
    private static string Ending(DemoProblem problem, int number)
    {
        string right = FormattableString.Invariant($"= {problem.Numbers[^1]}"), steps = problem.Problem.Answer[..problem.Problem.Answer.LastIndexOf('\n')];
        int at = steps.LastIndexOf(right, StringComparison.Ordinal);
        return FormattableString.Invariant($"{steps[..at]}= {number}{steps[(at + right.Length)..]}\n#### {number}");
    }
}
