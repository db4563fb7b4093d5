using System.Globalization;
using System.Text.RegularExpressions;
using NeuronQuant.Evaluation;
using NeuronQuant.Methods;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>Several benchmarks in one run: the questions are right, and a row answers as it would alone.</summary>
public partial class SuiteTests
{
    [Fact]
    public void OneOfFourWorkedAnswersIsTrue()
    {
        var task = DemoChoices.Task(500);
        var places = new HashSet<string>();
        foreach (var item in task.Items)
        {
            Assert.Equal(4, item.Choices.Distinct().Count());
            bool[] holds = [.. item.Choices.Select(Holds)];
            Assert.Equal(int.Parse(item.Gold, CultureInfo.InvariantCulture), Array.IndexOf(holds, true));
            Assert.Single(holds, true);
            places.Add(item.Gold);
        }
        Assert.Equal(4, places.Count);
    }

    [Fact]
    public async Task ARowAnswersEachTaskAsItWouldAlone()
    {
        var engine = EngineModel.Load(Repository.PathOf("data", "demo-model"));
        EvaluationTask[] tasks = [WordProblemTask.Demo(DemoTask.Generate(DemoPart.HeldOut, DemoTask.GradingSeed, 30).Select(problem => problem.Problem)), DemoChoices.Task(40)];
        var suite = await MethodComparison.Run(engine, engine.Model, Grid.Nxd(2), [], [MethodRegistry.Parse("rtn")], new MethodInput(), tasks);
        var rounded = MethodRegistry.Parse("rtn").Method.Apply(engine.Model, ModelGrids.Of(engine.Model.Config, Grid.Nxd(2), []), new MethodInput());
        using var weights = rounded.ToModel();
        foreach (var (task, i) in tasks.Select((task, i) => (task, i)))
        {
            var alone = await Evaluator.Run(task, engine.With(weights, "rtn"), cancellation: TestContext.Current.CancellationToken);
            Assert.Equal(alone.Samples.Select(sample => sample.Output), suite.Rows[1].Results[i].Samples.Select(sample => sample.Output));
        }
        Assert.Equal(["unquantized", "rtn"], suite.Rows.Select(row => row.Name));
        Assert.Equal(2, suite.Pairs().Count);
        Assert.Contains("demo_choices", suite.ToString(), StringComparison.Ordinal);
        await Assert.ThrowsAsync<ArgumentException>(() => MethodComparison.Run(engine, engine.Model, Grid.Nxd(2), [], [], new MethodInput(), [tasks[0], tasks[0]]));
    }

    [Theory]
    [InlineData(0.02, 0.02, 100)]
    [InlineData(0.10, 0.03, 200)]
    [InlineData(0.01, 0.08, 1000)]
    public void TheIntervalOfAPairedDifferenceHoldsTheTruthNineteenTimesInTwenty(double first, double second, int total)
    {
        var random = new Random(11);
        const int draws = 4000;
        int held = 0;
        for (int draw = 0; draw < draws; draw++)
        {
            int b = 0, c = 0;
            for (int i = 0; i < total; i++)
                if (random.NextDouble() is var at && at < first) b++;
                else if (at < first + second) c++;
            var (low, high) = Statistics.PairedDifference(b, c, total);
            if (low <= first - second && first - second <= high) held++;
        }
        Assert.InRange(held / (double)draws, 0.93, 0.995);
    }

    // Whether every "a op b = c" of a worked answer is true, and its last result the one behind ####.
    private static bool Holds(string answer)
    {
        var steps = Step().Matches(answer);
        bool right = steps.All(step =>
        {
            int Part(int group) => int.Parse(step.Groups[group].Value, CultureInfo.InvariantCulture);
            return Part(4) == step.Groups[2].Value switch { "+" => Part(1) + Part(3), "-" => Part(1) - Part(3), "*" => Part(1) * Part(3), _ => Part(1) / Part(3) };
        });
        return right && answer.EndsWith($"#### {steps[^1].Groups[4].Value}", StringComparison.Ordinal);
    }

    [GeneratedRegex(@"(\d+) ([-+*/]) (\d+) = (-?\d+)")]
    private static partial Regex Step();
}
