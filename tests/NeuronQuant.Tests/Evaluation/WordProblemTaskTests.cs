using NeuronQuant.Evaluation;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

public class WordProblemTaskTests
{
    private static readonly WordProblem[] Problems =
        [new("How many?", "1 + 1 = 2.\n#### 2"), new("And now?", "2 + 2 = 4.\n#### 4"), new("At last?", "It is 1,000.\n#### 1,000")];

    [Fact]
    public void ThePromptIsTheHarnessText()
    {
        using var files = new TestFiles();
        WordProblemFile.Write(files.PathOf("train.jsonl"), Problems);
        WordProblemFile.Write(files.PathOf("test.jsonl"), [Problems[2]]);
        var task = WordProblemTask.Gsm8k(files.PathOf("test.jsonl"), files.PathOf("train.jsonl"), shots: 2);
        Assert.Equal("Question: How many?\nAnswer: 1 + 1 = 2.\n#### 2\n\nQuestion: And now?\nAnswer: 2 + 2 = 4.\n#### 4\n\nQuestion: At last?\nAnswer:",
            task.Items[0].Prompt);
        Assert.Contains("2-shot", task.Settings, StringComparison.Ordinal);
        Assert.Equal("Question: How many?\nAnswer:", WordProblemTask.Demo(Problems).Items[0].Prompt);
    }

    [Fact]
    public void TooFewExamplesAreRefused()
    {
        using var files = new TestFiles();
        WordProblemFile.Write(files.PathOf("a.jsonl"), Problems);
        var error = Assert.Throws<EvaluationException>(() => WordProblemTask.Gsm8k(files.PathOf("a.jsonl"), files.PathOf("a.jsonl"), shots: 4));
        Assert.Equal(EvaluationFailure.DataInvalid, error.Failure);
    }

    [Fact]
    public async Task AnswersAreJudgedByBothFilters()
    {
        string[] answers = [" 1 + 1 = 2.\n#### 2\n\nQuestion: 9", " It is 4", " $1,000.\n#### 1000."];
        int next = 0;
        var result = await Evaluator.Run(WordProblemTask.Demo(Problems), new FakeModel(_ => answers[next++]));
        Assert.Equal([true, false, true], result.Samples.Select(sample => sample.Correct["strict-match"]));
        Assert.Equal([true, true, true], result.Samples.Select(sample => sample.Correct["flexible-extract"]));
        Assert.Equal(" 1 + 1 = 2.\n#### 2\n\n", result.Samples[0].Output);
        Assert.Equal("[invalid]", result.Samples[1].Extracted["strict-match"]);
        Assert.Equal((2, 3), (result.Main.Right, result.Main.Total));
        Assert.Contains("strict-match 66.7 % (2 of 3", result.ToString(), StringComparison.Ordinal);
        Assert.Equal(2, result.ToDataFrame().Rows.Count);
        Assert.Contains("<table", result.ToHtml(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AllOfGsm8k()
    {
        string folder = Path.GetFullPath(Repository.PathOf("..", "shared", "gsm8k"));
        string test = Path.Combine(folder, "test.jsonl"), train = Path.Combine(folder, "train.jsonl");
        Assert.SkipUnless(File.Exists(test) && File.Exists(train), "shared/gsm8k is not beside the repository.");
        var task = WordProblemTask.Gsm8k(test, train);
        Assert.Equal(1319, task.Items.Count);
        var examples = WordProblemFile.Read(train);
        var questions = WordProblemFile.Read(test);
        string expected = "";
        for (int i = 0; i < 5; i++) expected += "Question: " + examples[i].Question + "\nAnswer: " + examples[i].Answer + "\n\n";
        Assert.Equal(expected + "Question: " + questions[7].Question + "\nAnswer:", task.Items[7].Prompt);
        Assert.StartsWith("Question: Natalia sold clips", task.Items[0].Prompt, StringComparison.Ordinal);

        // A model that gives the worked answers is right on every question, by both filters, and all gold answers are numbers.
        var answers = questions.ToDictionary(problem => WordProblemTask.Prompt(examples.Take(5), problem.Question), problem => " " + problem.Answer);
        var result = await Evaluator.Run(task, new FakeModel(prompt => answers[prompt]));
        Assert.All(result.Samples, sample => Assert.Matches(@"^-?\d+(\.\d+)?$", sample.Gold));
        Assert.Equal((1319, 1319), (result.Main.Right, result.Of("flexible-extract").Right));
    }
}
