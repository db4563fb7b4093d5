using System.Globalization;
using System.Text;

namespace NeuronQuant.Evaluation;

/// <summary>One kind of problem: which numbers, which words.</summary>
/// <param name="Name">its name</param>
/// <param name="Draw">the numbers of a problem, those asked about and those of the steps</param>
/// <param name="Questions">ways to ask; {A}, {B}, {C} are people, {o} things, {0}, {1}, ... the numbers</param>
/// <param name="Answer">the steps, each with its calculation; the last number drawn is the answer</param>
internal sealed record DemoTemplate(string Name, Func<DemoRandom, int[]> Draw, string[] Questions, string Answer)
{
    /// <summary>The text with people, things and numbers in their places.</summary>
    public static string Fill(string text, string[] people, string things, int[] numbers)
    {
        var filled = new StringBuilder();
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] != '{')
            {
                filled.Append(text[i]);
                continue;
            }
            filled.Append(text[i + 1] switch
            {
                'o' => things,
                >= 'A' and <= 'C' => people[text[i + 1] - 'A'],
                _ => numbers[text[i + 1] - '0'].ToString(CultureInfo.InvariantCulture),
            });
            i += 2;
        }
        return filled.ToString();
    }
}
