using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using NeuronQuant.CommandLine.Notebooks;
using NeuronQuant.Display;
using NeuronQuant.Tests.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>What the lessons state: true of the outputs that lie in the repository, and said to be false where another model makes it so.</summary>
[Collection("notebooks")]
public sealed partial class ClaimTests
{
    public static TheoryData<string> Stating => [.. Directory.EnumerateFiles(Repository.PathOf("notebooks"), "*.ipynb").Order()
        .Where(path => ClaimCells(Notebook.Load(path)).Length > 0).Select(path => Path.GetFileName(path))];

    [Theory]
    [MemberData(nameof(Stating))]
    public void Every_statement_holds_for_the_committed_outputs(string file)
    {
        var said = ClaimCells(Notebook.Load(Repository.PathOf("notebooks", file))).Select(Said).ToArray();
        Assert.All(said, lines => Assert.NotEmpty(lines));
        Assert.All(said.SelectMany(lines => lines), line => Assert.StartsWith("holds: ", line, StringComparison.Ordinal));
    }

    [Fact]
    public void The_lessons_that_show_figures_of_a_model_state_something() =>
        Assert.Superset(new HashSet<string> { "00-start-here.ipynb", "03-sensitivity.ipynb", "04-selective-quantization.ipynb", "09-results.ipynb", "10-methods.ipynb", "11-activations-and-cache.ipynb" }, Stating.Select(row => row.Data).ToHashSet());

    [Fact]
    public async Task Another_model_makes_statements_false_and_the_lesson_says_so_and_runs_on()
    {
        using var model = new TinyModel();
        var notebook = Notebook.Load(Repository.PathOf("notebooks", "03-sensitivity.ipynb"));
        var run = await NotebookRunner.RunAsync(NotebookRunner.Prepare(notebook, Parameters.Parse([$"model={model.Folder}"])),
            Repository.PathOf("notebooks"), TimeSpan.FromMinutes(3), cancellation: TestContext.Current.CancellationToken);
        Assert.True(run.Failure is null, $"{run.Failure}");
        string[] said = [.. ClaimCells(run.Executed).SelectMany(Said)];
        Assert.Contains(said, line => line.StartsWith("does NOT hold here: ", StringComparison.Ordinal));
        Assert.All(said, line => Assert.Matches("^(holds|does NOT hold here): ", line));
    }

    [Fact]
    public void A_statement_is_shown_with_what_became_of_it()
    {
        var claims = new Claims { { 3 > 2, "three is more <than> two" }, { 2 > 3, "two is more" } };
        Assert.Equal("holds: three is more <than> two\ndoes NOT hold here: two is more", claims.ToString());
        Assert.Contains("three is more &lt;than&gt; two", claims.ToHtml(), StringComparison.Ordinal);
    }

    [Fact]
    public void Each_item_of_the_blog_has_its_place_in_the_first_notebook()
    {
        var rows = BlogRow().Matches(string.Join('\n', Notebook.Load(Repository.PathOf("notebooks", "00-start-here.ipynb")).Cells.Where(cell => !cell.IsCode).Select(cell => cell.Source)));
        Assert.True(rows.Count >= 17, "listings, figures, tables, formulas, methods and directions");
        Assert.All(rows, row => Assert.Contains(row.Groups["status"].Value.Split(';')[0], new[] { "reproduced", "reproduced on the demo model", "reproduced on the deep model", "recorded", "open" }));
        foreach (Match link in rows.SelectMany(row => Link().Matches(row.Groups["place"].Value)))
            Assert.True(File.Exists(Repository.PathOf("notebooks", link.Groups[1].Value)), link.Value);
        Assert.All(rows.Where(row => !row.Groups["status"].Value.StartsWith("open", StringComparison.Ordinal)), row => Assert.Matches(Link(), row.Groups["place"].Value));
    }

    [Fact]
    public void An_exercise_that_nobody_set_is_named_with_those_that_are()
    {
        Assert.Contains("Average bits", Assert.Throws<ArgumentException>(() => Exercise.Check("Averge bits", (int x) => x)).Message, StringComparison.Ordinal);
        Assert.Contains("asks for another function", Assert.Throws<ArgumentException>(() => Exercise.Check("Average bits", (int x) => x)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0.0, false)]
    [InlineData(1.0, true)]
    public void An_exercise_is_solved_by_the_right_function_alone(double share, bool solved) =>
        Assert.Equal(solved, Exercise.Check("Average bits", ((long Kept, long All) w) => 8 + 8 * share * w.Kept / w.All).Passed);

    private static JsonObject[] ClaimCells(Notebook notebook) => [.. notebook.Cells.Where(cell => cell.IsCode).Select(cell => cell.Json)
        .Where(cell => cell["metadata"]?["tags"]?.AsArray().Any(tag => (string)tag! == "claim") == true)];

    private static string[] Said(JsonObject cell) => [.. cell["outputs"]!.AsArray().SelectMany(output => string.Concat(Lines(output!["data"]!["text/plain"]!)).Split('\n'))];

    private static IEnumerable<string> Lines(JsonNode text) => text is JsonArray lines ? lines.Select(line => (string)line!) : [(string)text!];

    [GeneratedRegex(@"^\| (?<item>[^|]+) \| (?<place>[^|]+) \| (?<status>(reproduced|recorded|open)[^|]*) \|$", RegexOptions.Multiline)]
    private static partial Regex BlogRow();

    [GeneratedRegex(@"\]\(([^)]+\.ipynb)\)")]
    private static partial Regex Link();
}
