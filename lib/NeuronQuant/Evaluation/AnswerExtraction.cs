using System.Text.RegularExpressions;

namespace NeuronQuant.Evaluation;

/// <summary>How a number is read out of a worked answer: GSM8K's rules in lm-evaluation-harness.</summary>
/// <remarks>
/// Two filters exist side by side and differ much: strict-match wants "#### 18", the form of the examples, and takes the first;
/// flexible-extract takes the last thing that looks like a number. A model behind a chat template may lose most of its strict score and none
/// of its flexible one, so a score without its filter's name means little. Without a match the answer is "[invalid]". Prediction and right
/// answer are then cleaned alike: commas, dollar signs, everything up to "#### " and a final point go, and case does not count.
/// Source: lm_eval/tasks/gsm8k/gsm8k.yaml (version 3), lm_eval/filters/extraction.py, lm_eval/api/metrics.py.
/// </remarks>
public static partial class AnswerExtraction
{
    /// <summary>What stands for an answer without a number.</summary>
    public const string Invalid = "[invalid]";

    /// <summary>The filter's name in results.</summary>
    public const string StrictMatch = "strict-match";

    /// <summary>The filter's name in results.</summary>
    public const string FlexibleExtract = "flexible-extract";

    /// <summary>The first number after "#### ".</summary>
    public static string Strict(string output) => StrictPattern().Match(output) is { Success: true } match ? match.Groups[1].Value.Trim() : Invalid;

    /// <summary>The last number, with its sign, dollar sign, points and commas.</summary>
    public static string Flexible(string output) => FlexiblePattern().Matches(output) is { Count: > 0 } matches ? matches[^1].Value.Trim() : Invalid;

    /// <summary>Whether an extracted answer is the right one; both are cleaned first.</summary>
    /// <param name="extracted">a filter's result</param>
    /// <param name="gold">the right answer, worked or bare</param>
    public static bool IsRight(string extracted, string gold) => Clean(extracted) == Clean(gold);

    /// <summary>A number as it is compared.</summary>
    public static string Clean(string answer)
    {
        string text = answer.Replace(",", "", StringComparison.Ordinal).Replace("$", "", StringComparison.Ordinal);
        text = Rationale().Replace(text, "");
        return FinalPoint().Replace(text, "").ToLowerInvariant();
    }

    [GeneratedRegex(@"#### (\-?[0-9\.\,]+)", RegexOptions.CultureInvariant)]
    private static partial Regex StrictPattern();

    [GeneratedRegex(@"(-?[$0-9.,]{2,})|(-?[0-9]+)", RegexOptions.CultureInvariant)]
    private static partial Regex FlexiblePattern();

    [GeneratedRegex(@"(?s).*#### ", RegexOptions.CultureInvariant)]
    private static partial Regex Rationale();

    [GeneratedRegex(@"\.$", RegexOptions.CultureInvariant)]
    private static partial Regex FinalPoint();
}
