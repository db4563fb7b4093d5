using System.Text;
using NeuronQuant.Display;
using NeuronQuant.Evaluation;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

public class EvaluatorTests
{
    private static readonly EvaluationTask Demo = WordProblemTask.Demo(DemoTask.Generate(DemoPart.HeldOut, 3, 20).Select(problem => problem.Problem));

    private static readonly Dictionary<string, string> Answers =
        Demo.Items.ToDictionary(item => item.Prompt, item => "#### " + AnswerExtraction.Clean(item.Gold));

    [Fact]
    public async Task AnInterruptedEvaluationGoesOn()
    {
        using var files = new TestFiles();
        var options = new EvaluationOptions(SamplesFile: files.PathOf("samples/demo.jsonl"), BatchSize: 4);
        int asked = 0;
        var broken = new FakeModel(prompt => ++asked <= 10
            ? Answers[prompt]
            : throw new EvaluationException(EvaluationFailure.EndpointFailed, "host", "a", "b", "c"));
        await Assert.ThrowsAsync<EvaluationException>(() => Evaluator.Run(Demo, broken, options));
        var whole = new FakeModel(prompt => Answers[prompt]);
        var reports = new List<ProgressReport>();
        var result = await Evaluator.Run(Demo, whole, options with { Progress = reports.Add });
        Assert.Equal(12, whole.Asked.Count); // two batches of four were done
        Assert.Equal((20, 20), (result.Main.Right, result.Main.Total));
        Assert.Equal(Enumerable.Range(0, 20), result.Samples.Select(sample => sample.Index));
        Assert.Equal(20, reports[^1].Done);
        var again = new FakeModel(_ => "");
        Assert.Equal(result.Samples.Select(Text), (await Evaluator.Run(Demo, again, options)).Samples.Select(Text));
        Assert.Empty(again.Asked);
    }

    [Fact]
    public async Task ALimitIsATrialThatCanBeContinued()
    {
        using var files = new TestFiles();
        var options = new EvaluationOptions(Limit: 5, SamplesFile: files.PathOf("a.jsonl"));
        Assert.Equal(5, (await Evaluator.Run(Demo, new FakeModel(prompt => Answers[prompt]), options)).Main.Total);
        var rest = new FakeModel(prompt => Answers[prompt]);
        Assert.Equal(20, (await Evaluator.Run(Demo, rest, options with { Limit = null })).Main.Total);
        Assert.Equal(15, rest.Asked.Count);
        Assert.Equal(5, (await Evaluator.Run(Demo, rest, options)).Main.Total);
    }

    [Fact]
    public async Task AHalfWrittenLineIsCutOff()
    {
        using var files = new TestFiles();
        var options = new EvaluationOptions(SamplesFile: files.PathOf("a.jsonl"));
        await Evaluator.Run(Demo, new FakeModel(prompt => Answers[prompt]), options);
        string text = File.ReadAllText(options.SamplesFile!);
        File.WriteAllText(options.SamplesFile!, text[..^9]);
        var model = new FakeModel(prompt => Answers[prompt]);
        await Evaluator.Run(Demo, model, options);
        Assert.Single(model.Asked);
        Assert.Equal(text, File.ReadAllText(options.SamplesFile!));
    }

    [Fact]
    public async Task ASamplesFileWithAByteOrderMarkGoesOn()
    {
        using var files = new TestFiles();
        var options = new EvaluationOptions(SamplesFile: files.PathOf("a.jsonl"), BatchSize: 4, Limit: 8);
        var first = await Evaluator.Run(Demo, new FakeModel(prompt => "#### 1"), options);
        byte[] marked = [.. Encoding.UTF8.Preamble, .. File.ReadAllBytes(options.SamplesFile!)];
        File.WriteAllBytes(options.SamplesFile!, marked);
        var again = await Evaluator.Run(Demo, new FakeModel(_ => throw new InvalidOperationException("asked again")), options);
        Assert.Equal(first.Samples.Select(Text), again.Samples.Select(Text));
        Assert.Equal(marked, File.ReadAllBytes(options.SamplesFile!));
        Assert.Equal(8, SamplesFile.Read(options.SamplesFile!).Samples.Count);
    }

    [Fact]
    public async Task AFileOfSomethingElseIsRefused()
    {
        using var files = new TestFiles();
        var options = new EvaluationOptions(SamplesFile: files.PathOf("a.jsonl"));
        await Evaluator.Run(Demo, new FakeModel(prompt => Answers[prompt]), options);
        await Refused(Demo, new FakeModel(_ => "", name: "other"), "model");
        await Refused(Demo with { Settings = "5-shot" }, new FakeModel(_ => ""), "settings");
        await Refused(Demo with { Name = "gsm8k" }, new FakeModel(_ => ""), "task");
        var changed = WordProblemTask.Demo(DemoTask.Generate(DemoPart.HeldOut, 4, 20).Select(problem => problem.Problem));
        await Refused(changed, new FakeModel(_ => ""), "questions");

        async Task Refused(EvaluationTask task, FakeModel model, string what)
        {
            var error = await Assert.ThrowsAsync<EvaluationException>(() => Evaluator.Run(task, model, options));
            Assert.Equal(EvaluationFailure.SamplesStale, error.Failure);
            Assert.Contains($"another {what}", error.Message, StringComparison.Ordinal);
            Assert.Contains("a.jsonl", error.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("not json\n", "line 1")]
    [InlineData("""{"task":"demo"}""" + "\n", "line 1")]
    [InlineData("""{"task":"demo","model":"fake","settings":"","items":2,"data_hash":""}""" + "\n{}\n", "line 2")]
    public void ADamagedFileIsNamed(string text, string expected)
    {
        using var files = new TestFiles();
        var error = Assert.Throws<EvaluationException>(() => SamplesFile.Read(files.Text("a.jsonl", text)));
        Assert.Equal(EvaluationFailure.SamplesInvalid, error.Failure);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task CancellationKeepsWhatIsDone()
    {
        using var files = new TestFiles();
        using var source = new CancellationTokenSource();
        var options = new EvaluationOptions(SamplesFile: files.PathOf("a.jsonl"), BatchSize: 5);
        var model = new FakeModel(prompt =>
        {
            source.Cancel();
            return Answers[prompt];
        });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Evaluator.Run(Demo, model, options, source.Token));
        Assert.Equal(5, SamplesFile.Read(options.SamplesFile!).Samples.Count);
    }

    [Fact]
    public async Task ComparisonIsPairedByQuestion()
    {
        using var files = new TestFiles();
        var options = new EvaluationOptions(SamplesFile: files.PathOf("base.jsonl"));
        // The baseline is right on 0 to 11, the model on 2 to 17: both on 10, only the model on 6, only the baseline on 2.
        string[] prompts = [.. Demo.Items.Select(item => item.Prompt)];
        await Evaluator.Run(Demo, new FakeModel(prompt => Array.IndexOf(prompts, prompt) < 12 ? Answers[prompt] : "", name: "base"), options);
        var result = await Evaluator.Run(Demo,
            new FakeModel(prompt => Array.IndexOf(prompts, prompt) is >= 2 and < 18 ? Answers[prompt] : "", name: "int8"));
        var comparison = PairedComparison.Of(result, options.SamplesFile!);
        Assert.Equal((10, 6, 2, 2), (comparison.BothRight, comparison.OnlyModel, comparison.OnlyBaseline, comparison.BothWrong));
        Assert.Equal(0.2, comparison.Difference, 1e-12);
        Assert.Equal(74.0 / 256, comparison.PValue, 1e-12); // 2 (1 + 8 + 28) / 2^8
        Assert.Contains("int8 against base, strict-match: +20.0 points on 20 questions; 6 won, 2 lost, p = 0.2891",
            comparison.ToString(), StringComparison.Ordinal);
        Assert.Equal(1, comparison.ToDataFrame().Rows.Count);
        var fewer = await Evaluator.Run(Demo, new FakeModel(_ => ""), new EvaluationOptions(Limit: 3));
        Assert.Equal(EvaluationFailure.SamplesDiffer, Assert.Throws<EvaluationException>(() => PairedComparison.Of(fewer, result)).Failure);
        Assert.Throws<EvaluationException>(() => PairedComparison.Of(result, result, "acc"));
    }

    private static string Text(Sample sample) => $"{sample.Index} {sample.PromptHash} {sample.Output} {sample.Gold} {string.Join(' ', sample.Correct)}";
}
