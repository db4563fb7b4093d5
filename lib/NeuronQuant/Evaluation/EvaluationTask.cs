using System.Security.Cryptography;
using System.Text;

namespace NeuronQuant.Evaluation;

/// <summary>One question of a task.</summary>
/// <param name="Prompt">what the model is given, the examples included</param>
/// <param name="Choices">the answers to choose from; empty when the model writes the answer itself</param>
/// <param name="Gold">the right answer: text, or the index of the right choice</param>
/// <param name="Group">a part of the task that is also reported alone, such as MMLU's subject; empty for none</param>
public sealed record EvaluationItem(string Prompt, IReadOnlyList<string> Choices, string Gold, string Group = "");

/// <summary>How one question was answered.</summary>
/// <param name="Index">the question's place in the task, from 0</param>
/// <param name="PromptHash">SHA-256 of the prompt, in hexadecimal</param>
/// <param name="Output">the model's text; for choices their log-likelihoods</param>
/// <param name="Gold">the right answer</param>
/// <param name="Extracted">by metric: the answer as it was understood</param>
/// <param name="Correct">by metric: whether it is right</param>
public sealed record Sample(int Index, string PromptHash, string Output, string Gold, IReadOnlyDictionary<string, string> Extracted,
    IReadOnlyDictionary<string, bool> Correct);

/// <summary>A benchmark: questions, and how a model's answers become right or wrong.</summary>
/// <param name="Name">its name</param>
/// <param name="Settings">everything but the questions that decides the score, in words; changed settings are another task</param>
/// <param name="Metrics">ways to count an answer as right; the first is the one reported when only one is</param>
/// <param name="Items">the questions</param>
/// <param name="Ask">asks a model some questions and judges its answers; the numbers are the questions' places</param>
public sealed record EvaluationTask(string Name, string Settings, IReadOnlyList<string> Metrics, IReadOnlyList<EvaluationItem> Items,
    Func<ILanguageModel, IReadOnlyList<(int Index, EvaluationItem Item)>, CancellationToken, Task<IReadOnlyList<Sample>>> Ask)
{
    /// <summary>SHA-256 over all questions and right answers: tells one version of the data from another.</summary>
    public string DataHash => HashOf(Items);

    /// <summary>SHA-256 of a text, in hexadecimal.</summary>
    public static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private static string HashOf(IReadOnlyList<EvaluationItem> items)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var item in items)
            foreach (string text in (string[])[item.Prompt, .. item.Choices, item.Gold, item.Group])
                hash.AppendData(Encoding.UTF8.GetBytes(Hash(text)));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
