using NeuronQuant.Evaluation;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

public class ChoiceTaskTests
{
    [Fact]
    public async Task ArcChoosesAmongTheTexts()
    {
        using var files = new TestFiles();
        string path = files.Text("arc.jsonl",
            """{"id":"q","question":"Why?","choices":{"text":["an égg","because it is so"],"label":["1","2"]},"answerKey":"2"}""");
        var task = Arc.Load(path);
        Assert.Equal("Question: Why?\nAnswer:", task.Items[0].Prompt);
        // -6 / 6 characters = -1, and -8 / 16 = -0.5: the long one wins only when length counts; the space before it does not.
        var model = new FakeModel(score: request => request.Text == " an égg" ? -6 : -8);
        var result = await Evaluator.Run(task, model);
        Assert.Equal(["Question: Why?\nAnswer: an égg", "Question: Why?\nAnswer: because it is so"], model.Asked);
        Assert.Equal((0, 1), (result.Of("acc").Right, result.Of("acc_norm").Right));
        Assert.Equal("-6 -8", result.Samples[0].Output);
    }

    [Fact]
    public async Task LengthIsCountedInCharacters()
    {
        using var files = new TestFiles();
        // Two characters beyond U+FFFF are two, though UTF-16 and UTF-8 have four and eight units: -3/2 against -4/3.
        string path = files.Text("arc.jsonl", """{"question":"?","choices":{"text":["😀😀","abc"],"label":["A","B"]},"answerKey":"B"}""");
        var result = await Evaluator.Run(Arc.Load(path), new FakeModel(score: request => request.Text == " abc" ? -4 : -3));
        Assert.Equal("1", result.Samples[0].Extracted["acc_norm"]);
        Assert.Equal("0", result.Samples[0].Extracted["acc"]);
    }

    [Fact]
    public void OfEqualChoicesTheFirstCounts() => Assert.Equal(1, ChoiceTask.Best([-2.0, -1.0, -1.0]));

    [Theory]
    [InlineData("  a [title] b  ", "a. b")]
    [InlineData("[header] How to [step] go", " How to go")] // each two spaces become one, in one pass
    [InlineData("a    b", "a  b")]
    public void HellaSwagCleansWikiHow(string text, string expected) => Assert.Equal(expected, HellaSwag.Clean(text));

    [Fact]
    public void HellaSwagBuildsItsPrompt()
    {
        using var files = new TestFiles();
        string path = files.Text("h.jsonl", """
            {"activity_label":"Roof shingle removal","ctx_a":"A man is on a roof.","ctx_b":"he Sees","endings":["a.","[substeps] b.","c.","d."],"label":"3"}
            {"activity_label":"X","ctx_a":"One.","ctx_b":"","endings":["a","b","c","d"],"label":0}
            """);
        var items = HellaSwag.Load(path).Items;
        Assert.Equal("Roof shingle removal: A man is on a roof. He sees", items[0].Prompt);
        Assert.Equal(["a.", " b.", "c.", "d."], items[0].Choices);
        Assert.Equal(("3", "0"), (items[0].Gold, items[1].Gold));
        Assert.Equal("X: One.", items[1].Prompt);
    }

    [Fact]
    public async Task MmluScoresLettersAndReportsSubjects()
    {
        using var files = new TestFiles();
        Directory.CreateDirectory(files.PathOf("test"));
        Directory.CreateDirectory(files.PathOf("dev"));
        files.Text("test/high_school_physics_test.csv", "\"Which, \"\"one\"\"?\",a,b,\"c\nd\",e,C\nSecond?,1,2,3,4,A\n");
        files.Text("test/z.jsonl", """{"question":" Third? ","subject":"anatomy","choices":["p","q","r","s"],"answer":1}""");
        files.Text("dev/a.jsonl", """
            {"question":"E1","subject":"anatomy","choices":["p","q","r","s"],"answer":"D"}
            {"question":"E2","subject":"high_school_physics","choices":["t","u","v","w"],"answer":0}
            """);
        var task = Mmlu.Load(files.PathOf("test"), files.PathOf("dev"), shots: 1);
        Assert.Equal("The following are multiple choice questions (with answers) about high school physics.\n\n"
            + "E2\nA. t\nB. u\nC. v\nD. w\nAnswer: A\n\nWhich, \"one\"?\nA. a\nB. b\nC. c\nd\nD. e\nAnswer:", task.Items[0].Prompt);
        Assert.EndsWith("Answer: D\n\nThird?\nA. p\nB. q\nC. r\nD. s\nAnswer:", task.Items[2].Prompt, StringComparison.Ordinal);
        Assert.Equal(["2", "0", "1"], task.Items.Select(item => item.Gold));
        var result = await Evaluator.Run(task, new FakeModel(score: request => request.Text == " B" ? -1 : -2));
        Assert.Equal([("", 1, 3), ("anatomy", 1, 1), ("high_school_physics", 0, 2)],
            result.Scores().Select(score => (score.Group, score.Right, score.Total)));
        Assert.StartsWith("The following", Mmlu.Load(files.PathOf("test/z.jsonl")).Items[0].Prompt, StringComparison.Ordinal);
        Assert.Throws<EvaluationException>(() => Mmlu.Load(files.PathOf("test"), files.PathOf("dev"), shots: 2));
    }

    [Theory]
    [InlineData("""{"question":"?","choices":{"text":["a"],"label":["A"]},"answerKey":"B"}""")]
    [InlineData("""{"question":"?","choices":{"text":["a",""],"label":["A","B"]},"answerKey":"A"}""")] // nothing to divide by
    [InlineData("""{"question":"?","choices":["a"],"answerKey":"A"}""")]
    public void DamagedQuestionsAreNamed(string line)
    {
        using var files = new TestFiles();
        string path = files.Text("arc.jsonl", line);
        var error = Assert.Throws<EvaluationException>(() => Arc.Load(path));
        Assert.Equal(EvaluationFailure.DataInvalid, error.Failure);
        Assert.Contains("line 1", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheSeamIsWhereTheHarnessPutsIt()
    {
        // One id a character, but "d e" is one id: 1000.
        int[] Encode(string text) => [0, .. text.Replace("d e", "\u03E8", StringComparison.Ordinal).Select(c => (int)c)];
        var (ids, context) = ContinuationSplit.Encode(Encode, new Continuation("abc ", "x"));
        Assert.Equal((6, 4), (ids.Length, context)); // the context's last space is scored
        (ids, context) = ContinuationSplit.Encode(Encode, new Continuation("abcd", " ef"));
        Assert.Equal([0, 'a', 'b', 'c', 1000, 'f'], ids);
        Assert.Equal(5, context); // a token over the seam counts as context, since the context alone has five
        Assert.Throws<EvaluationException>(() => ContinuationSplit.Encode(text => [.. text.Select(c => (int)c)], new Continuation("", "x")));
    }
}
