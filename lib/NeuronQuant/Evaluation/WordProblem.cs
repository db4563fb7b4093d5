using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace NeuronQuant.Evaluation;

/// <summary>A word problem and its worked answer, which ends in "#### number", as in GSM8K.</summary>
/// <param name="Question">the problem in words</param>
/// <param name="Answer">the steps, then a line "#### number"</param>
public sealed record WordProblem(string Question, string Answer);

/// <summary>Word problems as a file: a JSON object with "question" and "answer" on each line, as GSM8K is published.</summary>
/// <remarks>Blank lines are skipped and other fields ignored; a line that is not such an object is an error with its number.</remarks>
public static class WordProblemFile
{
    // Apostrophes as themselves: the file is text for people and trainers, never part of a web page.
    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>Reads all problems, in the file's order.</summary>
    /// <exception cref="EvaluationException">The file is not there or a line is not a problem.</exception>
    public static IReadOnlyList<WordProblem> Read(string path)
    {
        var problems = new List<WordProblem>();
        foreach (var (number, element) in JsonLines.Read(path))
            problems.Add(Of(path, number, element));
        return problems;
    }

    /// <summary>The problem of one line.</summary>
    internal static WordProblem Of(string path, int number, JsonElement line) =>
        new(JsonLines.Text(path, number, line, "question"), JsonLines.Text(path, number, line, "answer"));

    /// <summary>Writes problems, one a line.</summary>
    public static void Write(string path, IEnumerable<WordProblem> problems)
    {
        using var writer = new StreamWriter(path, append: false, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { NewLine = "\n" };
        foreach (var problem in problems) writer.WriteLine(JsonSerializer.Serialize(problem, Options));
    }
}
