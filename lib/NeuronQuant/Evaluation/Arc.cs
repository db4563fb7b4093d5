using System.Globalization;
using System.Text.Json;

namespace NeuronQuant.Evaluation;

/// <summary>ARC: science questions of a school exam, with three to five answers.</summary>
/// <remarks>
/// Prompt "Question: ...\nAnswer:", the choices are the answers' texts, acc and acc_norm (lm_eval/tasks/arc/arc_easy.yaml). The file has one
/// object a line as on Hugging Face: {"question": "...", "choices": {"text": [...], "label": [...]}, "answerKey": "B"}. No examples.
/// </remarks>
public static class Arc
{
    /// <summary>The task of one file.</summary>
    /// <param name="path">questions, one JSON object a line</param>
    /// <param name="name">"arc_easy" or "arc_challenge"</param>
    /// <exception cref="EvaluationException">The file is not there, or a line is not a question.</exception>
    public static EvaluationTask Load(string path, string name = "arc_challenge") =>
        ChoiceTask.Build(name, "0-shot; answers' texts by log-likelihood", [ChoiceTask.Accuracy, ChoiceTask.NormalizedAccuracy],
            [.. JsonLines.Read(path).Select(line => Item(path, line.Number, line.Element))]);

    private static EvaluationItem Item(string path, int line, JsonElement question)
    {
        if (!question.TryGetProperty("choices", out var choices) || choices.ValueKind != JsonValueKind.Object)
            throw JsonLines.Invalid(path, line, "no object \"choices\"", "one with \"text\" and \"label\"", null);
        string[] texts = JsonLines.Texts(path, line, choices, "text"), labels = JsonLines.Texts(path, line, choices, "label");
        string key = JsonLines.Text(path, line, question, "answerKey");
        int gold = Array.IndexOf(labels, key);
        if (gold < 0 || texts.Length != labels.Length)
            throw JsonLines.Invalid(path, line, $"answer \"{key}\" with labels {string.Join(' ', labels)}", "a label of as many texts", null);
        return new EvaluationItem($"Question: {JsonLines.Text(path, line, question, "question")}\nAnswer:", texts,
            gold.ToString(CultureInfo.InvariantCulture));
    }
}
