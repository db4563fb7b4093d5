using NeuronQuant.Evaluation;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>The loss on right answers, and grading with drafts, on the demo model: against likelihoods, and against grading without.</summary>
public class AnswerLossTests
{
    private static readonly EngineModel Engine = EngineModel.Load(Repository.PathOf("data", "demo-model"));

    private static readonly EvaluationTask Task =
        WordProblemTask.Demo(DemoTask.Generate(DemoPart.HeldOut, DemoTask.GradingSeed, 60).Select(problem => problem.Problem));

    [Fact]
    public async Task The_loss_is_minus_the_mean_likelihood_of_the_answers()
    {
        using var rounded = QuantizedCopy.RoundToNearest(Engine.Model, Grid.Nxd(3));
        var found = AnswerLoss.Measure(Engine, Engine.Model, rounded, Task.Items, TestContext.Current.CancellationToken)!;
        var likely = await Engine.With(rounded, "3 bits").Score([.. Task.Items.Select(item => new Continuation(item.Prompt, $" {item.Gold}"))], TestContext.Current.CancellationToken);
        Assert.Equal(-likely.Sum(one => one.LogLikelihood) / likely.Sum(one => one.Tokens), found.Loss, 1e-5);
        Assert.InRange(found.Divergence, 1e-4, 1);
        Assert.Equal(0, AnswerLoss.Measure(Engine, Engine.Model, Engine.Model, Task.Items, TestContext.Current.CancellationToken)!.Divergence, 1e-9);
        Assert.Null(AnswerLoss.Measure(Engine, Engine.Model, rounded, [new EvaluationItem("Which?", ["a", "b"], "a")], TestContext.Current.CancellationToken));
    }

    // Questions twice, and of one question two right answers: what cannot be a draft is read for itself.
    [Fact]
    public async Task Graded_with_the_right_answers_as_drafts_it_answers_and_measures_as_without()
    {
        using var rounded = QuantizedCopy.RoundToNearest(Engine.Model, Grid.Nxd(3));
        EvaluationItem[] items = [.. Task.Items, Task.Items[3], Task.Items[4] with { Gold = "It is 7.\n#### 7" }];
        using var answers = new AnswerReference(Engine, Engine.Model, items);
        foreach (var model in new[] { Engine.Model, rounded })
        {
            var plain = await Evaluator.Run(Task, Engine.With(model, "m"), cancellation: TestContext.Current.CancellationToken);
            var drafted = await Evaluator.Run(Task, answers.Drafting(Engine.With(model, "m"), TestContext.Current.CancellationToken), cancellation: TestContext.Current.CancellationToken);
            Assert.Equal(plain.Samples.Select(sample => sample.Output), drafted.Samples.Select(sample => sample.Output));
            var (alone, along) = (AnswerLoss.Measure(Engine, Engine.Model, model, items, TestContext.Current.CancellationToken)!, answers.Measure(model, TestContext.Current.CancellationToken)!);
            Assert.Equal(alone.Loss, along.Loss, 1e-5);
            Assert.Equal(alone.Divergence, along.Divergence, 1e-6);
        }
    }

    [Fact]
    public async Task Drafts_of_another_model_change_no_answer()
    {
        using var rounded = QuantizedCopy.RoundToNearest(Engine.Model, Grid.Nxd(3));
        var before = await Evaluator.Run(Task, Engine, cancellation: TestContext.Current.CancellationToken);
        var plain = await Evaluator.Run(Task, Engine.With(rounded, "3 bits"), cancellation: TestContext.Current.CancellationToken);
        var drafted = await Evaluator.Run(Task, Engine.Drafted(before).With(rounded, "3 bits"), cancellation: TestContext.Current.CancellationToken);
        Assert.Contains(plain.Samples.Zip(before.Samples), pair => pair.First.Output != pair.Second.Output);
        Assert.Equal(plain.Samples.Select(sample => sample.Output), drafted.Samples.Select(sample => sample.Output));
    }
}
