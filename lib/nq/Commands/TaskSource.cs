using System.CommandLine;
using NeuronQuant.Evaluation;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>Benchmarks by name, with the file that each needs: what eval and compare grade.</summary>
internal static class TaskSource
{
    /// <summary>What can be graded by answers; perplexity is not among them.</summary>
    public static readonly string[] Names = ["demo", "demo_choices", "gsm8k", "mmlu", "arc_easy", "arc_challenge", "hellaswag"];

    /// <summary>The option of several tasks: demo, demo_choices, or NAME=FILE.</summary>
    public static Option<string[]> Several() => new("--tasks")
    {
        Description = $"Benchmarks, separated by commas, each NAME or NAME=FILE: {string.Join(", ", Names)}. With several, each row answers them all.",
        CustomParser = result => [.. result.Tokens.SelectMany(token => token.Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))],
        Arity = ArgumentArity.OneOrMore,
    };

    /// <summary>The option of worked examples.</summary>
    public static Option<int?> Shots() =>
        NotNegative(new("--shots") { Description = "Worked examples in the prompt: gsm8k takes them from train.jsonl beside the data, mmlu from dev.jsonl or the folder dev there." });

    /// <summary>The option of a trial on some questions.</summary>
    public static Option<int?> Limit() => NotNegative(new("--limit") { Description = "Only the first so many questions of each task." });

    /// <summary>Tasks by NAME or NAME=FILE.</summary>
    /// <exception cref="UsageException">a name is unknown or stands twice, or a file is missing</exception>
    public static EvaluationTask[] Parse(IReadOnlyList<string> texts, int? shots)
    {
        var named = texts.Select(text => text.Split('=', 2)).ToArray();
        if (named.GroupBy(parts => parts[0]).FirstOrDefault(same => same.Count() > 1) is { } twice)
            throw new UsageException($"--tasks names {twice.Key} {twice.Count()} times. Name each once.");
        return [.. named.Select(parts => Of(parts[0], parts.ElementAtOrDefault(1), shots))];
    }

    /// <summary>A task by its name.</summary>
    /// <param name="name">one of <see cref="Names"/></param>
    /// <param name="data">its file; the demo tasks generate their own held-out problems without one</param>
    /// <param name="shots">worked examples in the prompt; null for the task's own number</param>
    /// <exception cref="UsageException">there is no such task, it was given no file, or the file holds no question</exception>
    public static EvaluationTask Of(string name, string? data, int? shots = null)
    {
        var task = Make(name, data, shots);
        return task.Items.Count > 0 ? task : throw new UsageException($"{name}: {data} holds no question. Give the task's file, whole.");
    }

    private static EvaluationTask Make(string name, string? data, int? shots) => name switch
    {
        "demo" => WordProblemTask.Demo(data is null
            ? DemoTask.Generate(DemoPart.HeldOut, DemoTask.GradingSeed, 1000).Select(problem => problem.Problem) : WordProblemFile.Read(data)),
        "demo_choices" => data is null ? DemoChoices.Task(1000) : throw new UsageException("demo_choices makes its own questions: leave the file out."),
        "gsm8k" => WordProblemTask.Gsm8k(Needed(name, data), Beside(name, data, "train.jsonl"), shots ?? 5),
        "mmlu" => Mmlu.Load(Needed(name, data), shots is > 0 ? MmluExamples(name, data) : null, shots ?? 0),
        "arc_easy" or "arc_challenge" => Arc.Load(Needed(name, data), name),
        "hellaswag" => HellaSwag.Load(Needed(name, data)),
        _ => throw new UsageException($"There is no task '{name}'. Known are {string.Join(", ", Names)}."),
    };

    /// <summary>The file of a task that has none of its own.</summary>
    public static string Needed(string name, string? data) => data ?? throw new UsageException($"{name} needs a file: --task {name} --data FILE, or --tasks {name}=FILE.");

    // The authors' archive has the folders test and dev, with a file for each subject.
    private static string MmluExamples(string name, string? data) =>
        Beside(name, data, "dev.jsonl") is var lines && !File.Exists(lines) && Beside(name, data, "dev") is var folder && Directory.Exists(folder) ? folder : lines;

    private static string Beside(string name, string? data, string file) =>
        Path.Combine(Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(Needed(name, data))))!, file);

    private static Option<int?> NotNegative(Option<int?> option)
    {
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() < 0) result.AddError($"{option.Name}: give a number that is not negative.");
        });
        return option;
    }
}
