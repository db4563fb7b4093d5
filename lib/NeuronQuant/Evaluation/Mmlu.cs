using System.Globalization;
using System.Text;
using System.Text.Json;

namespace NeuronQuant.Evaluation;

/// <summary>MMLU: questions of 57 subjects with four answers, A to D.</summary>
/// <remarks>
/// <para>Prompt: "The following are multiple choice questions (with answers) about SUBJECT.", an empty line, examples of the same subject
/// from the development file in its order, then question, "A. ..." to "D. ..." and "Answer:"; the model chooses between " A" and " D".
/// The harness's own default is no examples; published scores mostly have five. acc over all questions is the mean of the subjects
/// weighted by size, as the harness reports it (lm_eval/tasks/mmlu/default).</para>
/// <para>Files: JSONL, one object a line as on Hugging Face: {"question", "subject", "choices": [4], "answer": 0 to 3 or "A" to "D"}; or the
/// authors' CSV without a heading: question, A, B, C, D, letter, with the subject in the file's name ("anatomy_test.csv"). A folder is all
/// its .jsonl and .csv files in the order of their names.</para>
/// </remarks>
public static class Mmlu
{
    private const string Letters = "ABCD";

    /// <summary>The task of a file or folder.</summary>
    /// <param name="test">questions</param>
    /// <param name="development">questions for the examples; may be null when there are none</param>
    /// <param name="shots">examples in each prompt</param>
    /// <exception cref="EvaluationException">A file is not there, a line is not a question, or a subject lacks examples.</exception>
    public static EvaluationTask Load(string test, string? development = null, int shots = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(shots);
        var questions = Read(test);
        if (shots > 0 && development is not null && !File.Exists(development) && !Directory.Exists(development))
            throw new EvaluationException(EvaluationFailure.DataNotFound, development, $"there is no such file or folder, and the {shots} worked "
                + "examples of a prompt come from it. Put MMLU's dev beside the questions, or ask for none (--shots 0).");
        var pool = (shots == 0 || development is null ? [] : Read(development)).ToLookup(question => question.Subject);
        foreach (string subject in questions.Select(question => question.Subject).Distinct())
            if (pool[subject].Count() < shots)
                throw new EvaluationException(EvaluationFailure.DataInvalid, development ?? "(no development file)",
                    $"{pool[subject].Count()} questions of \"{subject}\"", $"at least {shots} for the examples",
                    "Give MMLU's development files, or ask for fewer examples.");
        var examples = pool.ToDictionary(subject => subject.Key, subject => Examples(subject.Take(shots)));
        return ChoiceTask.Build("mmlu", FormattableString.Invariant($"{shots}-shot, first of the development file; letters by log-likelihood"),
            [ChoiceTask.Accuracy], [.. questions.Select(question => Item(question, examples.GetValueOrDefault(question.Subject) ?? ""))]);
    }

    private static string Examples(IEnumerable<Question> questions) =>
        string.Concat(questions.Select(question => $"{Text(question)} {Letters[question.Gold]}\n\n"));

    private static EvaluationItem Item(Question question, string examples) =>
        new($"The following are multiple choice questions (with answers) about {question.Subject.Replace('_', ' ')}.\n\n{examples}{Text(question)}",
            [.. Letters.Select(letter => letter.ToString())], question.Gold.ToString(CultureInfo.InvariantCulture), question.Subject);

    private static string Text(Question question) =>
        $"{question.Text.Trim()}\n{string.Concat(question.Choices.Select((choice, i) => $"{Letters[i]}. {choice}\n"))}Answer:";

    private static List<Question> Read(string path)
    {
        string[] files = Directory.Exists(path)
            ? [.. Directory.EnumerateFiles(path).Where(file => Path.GetExtension(file) is ".jsonl" or ".csv").Order(StringComparer.Ordinal)]
            : [path];
        return [.. files.SelectMany(file => Path.GetExtension(file) == ".csv" ? ReadCsv(file) : ReadJson(file))];
    }

    private static IEnumerable<Question> ReadJson(string path)
    {
        foreach (var (line, element) in JsonLines.Read(path))
        {
            string[] choices = JsonLines.Texts(path, line, element, "choices");
            bool letter = element.TryGetProperty("answer", out var answer) && answer.ValueKind == JsonValueKind.String;
            int gold = letter ? Letters.IndexOf(answer.GetString()!, StringComparison.Ordinal) : JsonLines.Index(path, line, element, "answer", 4);
            yield return Checked(path, line, new Question(JsonLines.Text(path, line, element, "question"), choices, gold,
                JsonLines.Text(path, line, element, "subject")));
        }
    }

    private static IEnumerable<Question> ReadCsv(string path)
    {
        string subject = Path.GetFileNameWithoutExtension(path);
        foreach (string ending in (string[])["_test", "_dev", "_val"])
            if (subject.EndsWith(ending, StringComparison.Ordinal)) subject = subject[..^ending.Length];
        int row = 0;
        foreach (var fields in Records(string.Join('\n', TextFile.Lines(path))))
        {
            row++;
            if (fields.Count != 6) throw JsonLines.Invalid(path, row, $"{fields.Count} fields", "6: question, A, B, C, D, letter", null);
            int gold = Letters.IndexOf(fields[5], StringComparison.Ordinal);
            yield return Checked(path, row, new Question(fields[0], [.. fields[1..5]], gold, subject));
        }
    }

    private static Question Checked(string path, int line, Question question) => question is { Choices.Count: 4, Gold: >= 0 and < 4 }
        ? question
        : throw JsonLines.Invalid(path, line, $"{question.Choices.Count} choices and answer {question.Gold}",
            "4 choices and one of A to D or 0 to 3", null);

    // RFC 4180: a field may be quoted, and then hold commas, line ends and doubled quotes.
    private static IEnumerable<List<string>> Records(string text)
    {
        var fields = new List<string>();
        var field = new StringBuilder();
        bool quoted = false;
        for (int i = 0; i <= text.Length; i++)
        {
            char c = i < text.Length ? text[i] : '\n';
            if (quoted && c == '"' && i + 1 < text.Length && text[i + 1] == '"') field.Append(text[++i]);
            else if (c == '"') quoted = !quoted;
            else if (quoted && i < text.Length || c is not (',' or '\n')) field.Append(c);
            else
            {
                fields.Add(field.ToString());
                field.Clear();
                if (c == ',') continue;
                if (fields is not [""]) yield return fields;
                fields = [];
            }
        }
    }

    private sealed record Question(string Text, IReadOnlyList<string> Choices, int Gold, string Subject);
}
