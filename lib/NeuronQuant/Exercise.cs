using System.Collections;
using System.Globalization;
using NeuronQuant.Display;

namespace NeuronQuant;

/// <summary>What a check of an exercise found.</summary>
/// <param name="Name">the exercise</param>
/// <param name="Passed">whether every case agreed</param>
/// <param name="Message">how many cases agreed, or the first that did not</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record ExerciseResult(string Name, bool Passed, string Message)
{
    /// <summary>A line with a coloured mark.</summary>
    public string ToHtml() =>
        $"<p style=\"border-left:4px solid {(Passed ? "#2a9d5c" : "#c98a00")};padding:2px 10px\"><b>{System.Net.WebUtility.HtmlEncode(Name)}</b> {System.Net.WebUtility.HtmlEncode(Message)}</p>";

    /// <inheritdoc/>
    public override string ToString() => $"{(Passed ? "✓" : "…")} {Name}: {Message}";
}

/// <summary>
/// The check of an exercise: the reader's function and the reference of that name are run on the same cases, and the first difference is shown, so
/// that a wrong answer teaches something. The reference is not in the notebook, lest its reader meet the answer before the question. An
/// unsolved exercise is not an error, and the notebook runs on.
/// </summary>
public static class Exercise
{
    /// <summary>Compares an attempt with the exercise's reference on each of its cases; numbers agree within a relative 1e-6.</summary>
    /// <param name="name">the exercise, as its notebook calls it</param>
    /// <param name="attempt">the reader's function</param>
    /// <exception cref="ArgumentException">no exercise has that name, or it takes or gives another type</exception>
    public static ExerciseResult Check<TCase, TAnswer>(string name, Func<TCase, TAnswer> attempt) => ExerciseReferences.Find(name) switch
    {
        ExerciseReference<TCase, TAnswer> reference => Check(name, attempt, reference.Answer, reference.Cases),
        null => throw new ArgumentException($"There is no exercise '{name}'. There are: {string.Join("; ", ExerciseReferences.Names)}.", nameof(name)),
        var other => throw new ArgumentException($"'{name}' asks for another function: {other}.", nameof(attempt)),
    };

    private static ExerciseResult Check<TCase, TAnswer>(string name, Func<TCase, TAnswer> attempt, Func<TCase, TAnswer> specification, TCase[] cases)
    {
        for (int i = 0; i < cases.Length; i++)
        {
            object? found, expected = specification(cases[i]);
            try
            {
                found = attempt(cases[i]);
            }
            catch (Exception error) when (error is not OperationCanceledException)
            {
                found = error.GetType().Name;
            }
            if (!Same(found, expected))
                return new ExerciseResult(name, false, $"not solved yet. For {Text(cases[i])} the answer is {Text(expected)}; yours is {Text(found)}.");
        }
        return new ExerciseResult(name, true, $"solved: {cases.Length} cases agree.");
    }

    private static bool Same(object? a, object? b) => (a, b) switch
    {
        (null, null) => true,
        (string x, string y) => x == y,
        (IEnumerable x, IEnumerable y) => x.Cast<object?>().Count() == y.Cast<object?>().Count() && x.Cast<object?>().Zip(y.Cast<object?>()).All(pair => Same(pair.First, pair.Second)),
        (double or float or int or long or sbyte or byte, double or float or int or long or sbyte or byte) => Close(Convert.ToDouble(a, CultureInfo.InvariantCulture), Convert.ToDouble(b, CultureInfo.InvariantCulture)),
        _ => Equals(a, b),
    };

    private static bool Close(double a, double b) => a == b || Math.Abs(a - b) <= 1e-6 * Math.Max(Math.Abs(a), Math.Abs(b));

    private static string Text(object? value) => value switch
    {
        null => "nothing",
        string text => $"\"{text}\"",
        IEnumerable many => $"[{string.Join(", ", many.Cast<object?>().Take(8).Select(Text))}{(many.Cast<object?>().Count() > 8 ? ", …" : "")}]",
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };
}
