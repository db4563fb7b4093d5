using System.Text.Json;
using NeuronQuant.Evaluation;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>
/// Benchmarks in the formats in which they are published, from the command line to the table: each task's own number of questions, and the accuracy that
/// grading the same model on the same file gives by itself. The questions are made up; the files are laid out as the authors' are.
/// </summary>
[Collection("notebooks")] // They take over the console as well.
public sealed class BenchmarkCommandTests : IDisposable
{
    private const int Limit = 4;
    private static readonly string Model = Repository.PathOf("data", "demo-model");

    private readonly TestFiles _files = new();

    public BenchmarkCommandTests()
    {
        // The archive of MMLU: folders test and dev, a CSV without a heading for each subject; a quoted field may hold commas and quotes.
        foreach (string part in new[] { "test", "dev" })
        {
            Directory.CreateDirectory(_files.PathOf($"mmlu/{part}"));
            foreach (var (subject, offset) in new[] { ("elementary_mathematics", 0), ("us_history", 20) })
                _files.Text($"mmlu/{part}/{subject}_{part}.csv", string.Concat(Enumerable.Range(offset + (part == "dev" ? 10 : 0), 3).Select(i =>
                    $"\"What is {i} + 3, if \"\"+\"\" is a sum?\",{i + 1},{i + 3},\"{i},000\",{i + 5},B\n")));
        }
        // The same questions as on the hub: one object a line, the answer a number.
        _files.Text("questions.jsonl", string.Concat(Enumerable.Range(0, 3).Select(i => Line(new
        {
            question = $"What is {i} + 3, if \"+\" is a sum?",
            subject = "elementary_mathematics",
            choices = new[] { $"{i + 1}", $"{i + 3}", $"{i},000", $"{i + 5}" },
            answer = 1,
        }))));
        _files.Text("arc.jsonl", string.Concat(Enumerable.Range(0, 6).Select(i => Line(new
        {
            id = $"Q_{i}",
            question = $"Which gets {i} coins and then 2 more?",
            choices = i % 2 == 0 ? new { text = new[] { $"{i + 2} coins", $"{i} coins", "no coin", "all" }, label = new[] { "A", "B", "C", "D" } }
                : new { text = new[] { $"{i} coins", $"{i + 2} coins", "no coin" }, label = new[] { "1", "2", "3" } },
            answerKey = i % 2 == 0 ? "A" : "2",
        }))));
        _files.Text("hellaswag.jsonl", string.Concat(Enumerable.Range(0, 5).Select(i => Line(new
        {
            ind = i,
            activity_label = "Counting shells",
            ctx_a = $"Leo puts {i + 2} shells into a bag.",
            ctx_b = "then Leo",
            ctx = $"Leo puts {i + 2} shells into a bag. then Leo",
            split = "val",
            endings = new[] { "closes the bag.", "[title] flies.", "is a bag.", $"has {i} hats." },
            label = i % 4,
            source_id = $"wikihow~{i}",
        }))));
    }

    public void Dispose() => _files.Dispose();

    private static string Line(object question) => JsonSerializer.Serialize(question) + "\n";

    private string Tasks => $"mmlu={_files.PathOf("mmlu/test")},arc_challenge={_files.PathOf("arc.jsonl")},hellaswag={_files.PathOf("hellaswag.jsonl")},demo";

    private static async Task<JsonElement> Json(params string[] arguments)
    {
        var (code, output, error) = await Nq.Run([.. arguments, "--json"]);
        Assert.True(code == 0, error);
        return JsonDocument.Parse(output).RootElement;
    }

    // The score that a comparison puts into its table: the task's first metric over all questions.
    private static (int Right, int Total) First(JsonElement eval) => Score(eval.GetProperty("scores").EnumerateArray().First());

    private static (int Right, int Total) Score(JsonElement score) => (score.GetProperty("right").GetInt32(), score.GetProperty("total").GetInt32());

    [Theory]
    [InlineData(null)]
    [InlineData(2)]
    public async Task A_comparison_on_published_files_has_the_scores_of_eval(int? shots)
    {
        string[] asked = shots is null ? ["--limit", $"{Limit}"] : ["--limit", $"{Limit}", "--shots", $"{shots}"];
        var table = await Json(["compare", Model, "--bits", "3", "--methods", "rtn", "--calibration", Repository.PathOf("data", "demo-calibration.jsonl"),
            "--samples", "4", "--tasks", Tasks, .. asked]);
        var rows = table.GetProperty("rows").EnumerateArray().ToArray();
        Assert.Equal(["unquantized", "rtn"], rows.Select(row => row.GetProperty("method").GetString()));
        foreach (var row in rows)
            Assert.Equal([("mmlu", 4), ("arc_challenge", 4), ("hellaswag", 4), ("demo", 4)],
                row.GetProperty("scores").EnumerateArray().Select(score => (score.GetProperty("task").GetString()!, score.GetProperty("total").GetInt32())));
        string settings = table.GetProperty("tasks")[0].GetProperty("settings").GetString()!;
        Assert.StartsWith($"{shots ?? 0}-shot", settings, StringComparison.Ordinal);

        // What each task gives by itself, with the same options.
        foreach (var (task, i) in new[] { ("mmlu", 0), ("arc_challenge", 1), ("hellaswag", 2), ("demo", 3) })
        {
            string[] data = i == 3 ? [] : ["--data", Tasks.Split(',')[i].Split('=')[1]];
            var alone = await Json(["eval", Model, "--task", task, .. data, .. asked]);
            Assert.Equal(First(alone), Score(rows[0].GetProperty("scores")[i]));
            Assert.Equal(table.GetProperty("tasks")[i].GetProperty("settings").GetString(), alone.GetProperty("settings").GetString());
        }
        Assert.Equal(4, table.GetProperty("pairs").GetArrayLength());
    }

    [Fact]
    public async Task The_rounded_row_scores_as_its_folder_does()
    {
        string folder = _files.PathOf("rounded");
        Assert.Equal(0, (await Nq.Run(["quantize", Model, "--out", folder, "--layout", "fake", "--bits", "3"])).Code);
        var row = (await Json("compare", Model, "--bits", "3", "--methods", "rtn", "--calibration", Repository.PathOf("data", "demo-calibration.jsonl"),
            "--samples", "4", "--tasks", Tasks, "--limit", $"{Limit}")).GetProperty("rows")[1];
        foreach (var (task, i) in new[] { ("mmlu", 0), ("arc_challenge", 1), ("hellaswag", 2) })
            Assert.Equal(First(await Json("eval", folder, "--task", task, "--data", Tasks.Split(',')[i].Split('=')[1], "--limit", $"{Limit}")),
                Score(row.GetProperty("scores")[i]));
        Assert.Equal(First(await Json("eval", folder, "--task", "demo", "--limit", $"{Limit}")), Score(row.GetProperty("scores")[3]));
    }

    [Fact]
    public async Task Lines_of_the_hub_and_the_archive_s_tables_are_the_same_questions()
    {
        var lines = Mmlu.Load(_files.PathOf("questions.jsonl"));
        Assert.Equal(lines.Items.Select(item => (item.Prompt, item.Gold)), Mmlu.Load(_files.PathOf("mmlu/test")).Items.Take(3).Select(item => (item.Prompt, item.Gold)));
        var (folder, file) = (await Json("eval", Model, "--task", "mmlu", "--data", _files.PathOf("mmlu/test") + Path.DirectorySeparatorChar, "--limit", "3", "--shots", "1"),
            await Json("eval", Model, "--task", "mmlu", "--data", _files.PathOf("questions.jsonl"), "--limit", "3"));
        Assert.StartsWith("1-shot", folder.GetProperty("settings").GetString(), StringComparison.Ordinal);
        Assert.Equal(3, First(file).Total);
    }

    [Fact]
    public async Task Shots_without_their_file_are_refused_with_its_name()
    {
        var (code, _, error) = await Nq.Run(["eval", Model, "--task", "mmlu", "--data", _files.PathOf("questions.jsonl"), "--shots", "1"]);
        Assert.Equal(1, code);
        Assert.Contains("dev.jsonl", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gsm8k")]
    [InlineData("mmlu")]
    [InlineData("arc_easy")]
    [InlineData("arc_challenge")]
    [InlineData("hellaswag")]
    [InlineData("perplexity")]
    [InlineData("demo")]
    public async Task A_file_that_is_missing_is_refused_in_one_sentence_with_the_remedy(string task)
    {
        var (code, output, error) = await Nq.Run(["eval", Model, "--task", task, "--data", "nothing.jsonl"]);
        Assert.Equal((1, ""), (code, output));
        Assert.EndsWith("nothing.jsonl: there is no such file. Correct the path; data are read from this machine and never downloaded.\n", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Examples_that_are_missing_a_folder_and_a_file_without_questions_are_said_as_such()
    {
        _files.Text("empty.jsonl", "\n");
        foreach (string folder in new[] { "problems", "questions" }) Directory.CreateDirectory(_files.PathOf(folder));
        File.Copy(_files.PathOf("questions.jsonl"), _files.PathOf("questions/test.jsonl"));
        _files.Text("problems/test.jsonl", Line(new { question = "1 + 1?", answer = "#### 2" }));
        await Refused("come from it. Put GSM8K's train.jsonl beside the questions, or ask for none (--shots 0).", "gsm8k", _files.PathOf("problems/test.jsonl"));
        await Refused("come from it. Put MMLU's dev beside the questions", "mmlu", _files.PathOf("questions/test.jsonl"), "--shots", "2");
        await Refused("is a folder. Give the file in it.", "hellaswag", _files.PathOf("mmlu"));
        await Refused("holds no question", "arc_easy", _files.PathOf("empty.jsonl"));
        await Refused("holds no question", "mmlu", _files.PathOf("problems/none"));

        async Task Refused(string words, string task, string data, params string[] options)
        {
            if (!Path.HasExtension(data)) Directory.CreateDirectory(data);
            var (code, _, error) = await Nq.Run(["compare", Model, "--tasks", $"{task}={data}", .. options]);
            Assert.NotEqual(0, code);
            Assert.Contains(words, error, StringComparison.Ordinal);
        }
    }
}
