using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace NeuronQuant.Evaluation;

/// <summary>HellaSwag: which of four sentences goes on a description.</summary>
/// <remarks>
/// Prompt: the activity's label, ": ", ctx_a, " ", ctx_b with a capital first letter and the rest in lower case (Python's capitalize). Prompt
/// and endings are cleaned of WikiHow's marks: " [title]" becomes ". ", other brackets go, each two spaces become one. acc and acc_norm
/// (lm_eval/tasks/hellaswag). The file is the authors' JSONL: {"ctx_a", "ctx_b", "activity_label", "endings": [4], "label": 0 to 3}; use
/// the validation file, since the test file has no labels.
/// </remarks>
public static partial class HellaSwag
{
    /// <summary>The task of one file.</summary>
    /// <param name="path">questions, one JSON object a line</param>
    /// <exception cref="EvaluationException">The file is not there, or a line is not a question.</exception>
    public static EvaluationTask Load(string path) =>
        ChoiceTask.Build("hellaswag", "0-shot; endings by log-likelihood", [ChoiceTask.Accuracy, ChoiceTask.NormalizedAccuracy],
            [.. JsonLines.Read(path).Select(line => Item(path, line.Number, line.Element))]);

    /// <summary>A text without WikiHow's marks.</summary>
    public static string Clean(string text)
    {
        string clean = text.Trim().Replace(" [title]", ". ", StringComparison.Ordinal);
        return Brackets().Replace(clean, "").Replace("  ", " ", StringComparison.Ordinal);
    }

    private static EvaluationItem Item(string path, int line, JsonElement question)
    {
        string context = JsonLines.Text(path, line, question, "ctx_a") + " " + Capitalize(JsonLines.Text(path, line, question, "ctx_b"));
        string[] endings = [.. JsonLines.Texts(path, line, question, "endings").Select(Clean)];
        int label = JsonLines.Index(path, line, question, "label", endings.Length);
        string prompt = Clean(JsonLines.Text(path, line, question, "activity_label") + ": " + context);
        return new EvaluationItem(prompt, endings, label.ToString(CultureInfo.InvariantCulture));
    }

    private static string Capitalize(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    [GeneratedRegex(@"\[.*?\]", RegexOptions.CultureInvariant)]
    private static partial Regex Brackets();
}
