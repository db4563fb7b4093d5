using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using NeuronQuant.Evaluation;
using NeuronQuant.Tokenization;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

public partial class DemoTaskTests
{
    private static readonly DemoProblem[] Sample = [.. DemoTask.Generate(DemoPart.Training, 1, 20_000)];

    [Fact]
    public void EveryStepIsTrueAndLeadsToTheAnswer()
    {
        foreach (var (problem, _, _) in Sample)
        {
            var known = Number().Matches(problem.Question).Select(match => int.Parse(match.Value, CultureInfo.InvariantCulture)).ToHashSet();
            int last = 0;
            var steps = Step().Matches(problem.Answer);
            Assert.InRange(steps.Count, 1, 4);
            foreach (Match step in steps)
            {
                int[] n = [.. new[] { 1, 3, 4 }.Select(group => int.Parse(step.Groups[group].Value, CultureInfo.InvariantCulture))];
                Assert.True(known.Contains(n[0]) && known.Contains(n[1]), problem.ToString());
                last = step.Groups[2].Value switch { "+" => n[0] + n[1], "-" => n[0] - n[1], "*" => n[0] * n[1], _ => n[0] / n[1] };
                if (step.Groups[2].Value == "/") Assert.Equal(0, n[0] % n[1]);
                Assert.Equal(n[2], last);
                Assert.InRange(last, 1, 299);
                known.Add(last);
            }
            Assert.EndsWith(string.Create(CultureInfo.InvariantCulture, $"\n#### {last}"), problem.Answer, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void EveryNumberOfTheQuestionIsNeeded()
    {
        foreach (var (problem, _, _) in Sample)
        {
            var used = Number().Matches(problem.Answer).Select(match => match.Value).ToHashSet();
            Assert.All(Number().Matches(problem.Question).Select(match => match.Value), number => Assert.Contains(number, used));
        }
    }

    [Fact]
    public void TrainingAndHeldOutShareNoProblem()
    {
        var training = DemoTask.Generate(DemoPart.Training, 2, 100_000).ToList();
        var heldOut = DemoTask.Generate(DemoPart.HeldOut, 2, 10_000).ToList();
        Assert.Equal(100_000, training.Select(problem => problem.Problem.Question).Distinct().Count());
        Assert.Equal(10_000, heldOut.Select(problem => problem.Problem.Question).Distinct().Count());
        // Not even with other names and things: kind and numbers differ.
        var known = training.Select(Key).ToHashSet();
        Assert.DoesNotContain(heldOut, problem => known.Contains(Key(problem)));
        Assert.Equal(training.Select(problem => problem.Template).ToHashSet(), heldOut.Select(problem => problem.Template).ToHashSet());

        static string Key(DemoProblem problem) => $"{problem.Template} {string.Join(' ', problem.Numbers)}";
    }

    [Fact]
    public void TheTextIsTheSameEverywhere()
    {
        string text = All(7);
        Assert.Equal(text, All(7));
        // Recorded once: another text means that a model trained before meets problems of another generator.
        Assert.Equal("5431F4E44FAFF044", Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16]);
        Assert.NotEqual(text, All(8));

        static string All(ulong seed) =>
            string.Concat(DemoTask.Generate(DemoPart.HeldOut, seed, 500).Select(problem => problem.Problem.Question + problem.Problem.Answer));
    }

    [Fact]
    public void TheGeneratorIsSplitMix64()
    {
        // The first numbers of the published algorithm for seed 1234567.
        var random = new DemoRandom(1234567);
        Assert.Equal([6457827717110365317UL, 3203168211198807973UL, 9817491932198370423UL], new[] { random.Next(), random.Next(), random.Next() });
    }

    [Fact]
    public void TextsAreShort()
    {
        foreach (var (problem, _, _) in Sample)
        {
            Assert.InRange(problem.Question.Split(' ').Length, 12, 45);
            Assert.InRange(problem.Answer.Split(' ', '\n').Length, 7, 45);
        }
        using var files = new TestFiles();
        var tokenizer = BpeTrainer.Train(Sample.Select(Text), 512, files.Folder);
        int[] lengths = [.. Sample.Take(2000).Select(problem => tokenizer.Encode(Text(problem)).Length).Order()];
        Assert.InRange(lengths.Average(), 50, 100);
        Assert.True(lengths[^1] <= 160, $"{lengths[^1]} tokens");

        static string Text(DemoProblem problem) => $"Question: {problem.Problem.Question}\nAnswer: {problem.Problem.Answer}";
    }

    [Fact]
    public void FilesAreReadAsTheyWereWritten()
    {
        using var files = new TestFiles();
        WordProblem[] problems = [.. Sample.Take(20).Select(sample => sample.Problem), new("It's \"é\" < 3?", "Yes.\n#### 1")];
        WordProblemFile.Write(files.PathOf("demo.jsonl"), problems);
        Assert.Equal(problems, WordProblemFile.Read(files.PathOf("demo.jsonl")));
        Assert.Contains("It's", File.ReadAllText(files.PathOf("demo.jsonl")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"question\":\"a\",\"answer\":\"b\"}\n{\"question\":\"a\"}", "line 2")]
    [InlineData("\n[]", "line 2")]
    [InlineData("{", "line 1")]
    public void ADamagedLineIsNamed(string text, string expected)
    {
        using var files = new TestFiles();
        var error = Assert.Throws<EvaluationException>(() => WordProblemFile.Read(files.Text("a.jsonl", text)));
        Assert.Equal(EvaluationFailure.DataInvalid, error.Failure);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [GeneratedRegex(@"\d+")]
    private static partial Regex Number();

    [GeneratedRegex(@"(\d+) ([-+*/]) (\d+) = (\d+)")]
    private static partial Regex Step();
}
