namespace NeuronQuant.Evaluation;

/// <summary>The two parts of the demo task; no problem is in both.</summary>
public enum DemoPart
{
    /// <summary>Nine tenths of all problems: what a model is trained on.</summary>
    Training,

    /// <summary>One tenth of all problems: what it is measured on.</summary>
    HeldOut,
}

/// <summary>A problem of the demo task.</summary>
/// <param name="Problem">the text</param>
/// <param name="Template">the kind of problem, such as "gain and loss"</param>
/// <param name="Numbers">its numbers, those of the steps included; the last one is the answer</param>
public sealed record DemoProblem(WordProblem Problem, string Template, IReadOnlyList<int> Numbers)
{
    /// <summary>The part it belongs to, by its numbers and kind alone.</summary>
    public DemoPart Part => DemoTask.PartOf(Template, Numbers);
}

/// <summary>The demo task: small word problems in GSM8K's form, simple enough that a small model learns them from nothing on a CPU.</summary>
/// <remarks>
/// <para>GSM8K itself tells 0 % from 0 % for every model that fits into a repository. This task has its form (question, worked steps, a last
/// line "#### number") and so its prompt, extraction and statistics, with small numbers, one calculation a step and plain sentences.</para>
/// <para>Training and held-out problems are parted by a hash of kind and numbers, not by chance: a held-out problem differs from every
/// training problem in its numbers, whatever the names and things, so recall of training text is of no use. Names, things, kinds and numbers
/// give more than 10^8 problems. The same seed gives the same problems on every machine (<see cref="DemoRandom"/>).</para>
/// </remarks>
public static class DemoTask
{
    /// <summary>The seed of the held-out problems that models are graded on; training draws from other problems altogether.</summary>
    public const ulong GradingSeed = 2026;

    private const ulong HeldOutOneIn = 10;

    /// <summary>Distinct problems of one part, without end until the count is reached.</summary>
    /// <param name="part">training or held-out</param>
    /// <param name="seed">the same seed gives the same problems in the same order</param>
    /// <param name="count">problems</param>
    public static IEnumerable<DemoProblem> Generate(DemoPart part, ulong seed, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        return Draw(part, seed, count);
    }

    /// <summary>The part of a problem of this kind with these numbers.</summary>
    public static DemoPart PartOf(string template, IReadOnlyList<int> numbers)
    {
        ArgumentNullException.ThrowIfNull(template);
        ArgumentNullException.ThrowIfNull(numbers);
        ulong hash = 0;
        foreach (char c in template) hash = DemoRandom.Mix(hash + c);
        foreach (int number in numbers) hash = DemoRandom.Mix(hash + (ulong)number);
        return hash % HeldOutOneIn == 0 ? DemoPart.HeldOut : DemoPart.Training;
    }

    private static IEnumerable<DemoProblem> Draw(DemoPart part, ulong seed, int count)
    {
        var random = new DemoRandom(seed);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        while (seen.Count < count)
        {
            var problem = One(random);
            if (problem.Part == part && seen.Add(problem.Problem.Question)) yield return problem;
        }
    }

    private static DemoProblem One(DemoRandom random)
    {
        var template = random.Pick(DemoTemplates.All);
        int[] numbers = template.Draw(random);
        string[] people = ThreePeople(random);
        string things = random.Pick(DemoTemplates.Things);
        string question = DemoTemplate.Fill(random.Pick(template.Questions), people, things, numbers);
        string answer = DemoTemplate.Fill(template.Answer, people, things, numbers);
        return new DemoProblem(new WordProblem(question, FormattableString.Invariant($"{answer}\n#### {numbers[^1]}")), template.Name, numbers);
    }

    private static string[] ThreePeople(DemoRandom random)
    {
        var people = new List<string>();
        while (people.Count < 3)
            if (random.Pick(DemoTemplates.People) is var person && !people.Contains(person)) people.Add(person);
        return [.. people];
    }
}
