namespace NeuronQuant.Evaluation;

/// <summary>Tasks whose answer is a number at the end of worked steps: GSM8K and the demo task.</summary>
/// <remarks>
/// <para>GSM8K as in lm-evaluation-harness: five worked examples, each "Question: ...\nAnswer: ...", then the question and "Answer:"; an
/// empty line between; greedy, 256 tokens at most, stopped by "Question:", "&lt;/s&gt;" or "&lt;|im_end|&gt;".</para>
/// <para>One thing differs, and is part of the settings' text: the harness draws the examples for each question anew from the training file
/// with a seeded Python generator; here they are the first of the training file, in its order. Scores are then comparable among themselves
/// to the last question, and with the harness's within its own noise from the choice of examples.</para>
/// </remarks>
public static class WordProblemTask
{
    private static readonly string[] Stops = ["Question:", "</s>", "<|im_end|>"];

    /// <summary>GSM8K from its two files.</summary>
    /// <param name="test">test.jsonl, the questions</param>
    /// <param name="train">train.jsonl, for the examples</param>
    /// <param name="shots">examples in each prompt</param>
    /// <exception cref="EvaluationException">A file is not there, or a line is not a problem.</exception>
    public static EvaluationTask Gsm8k(string test, string train, int shots = 5)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(shots);
        var problems = WordProblemFile.Read(test);
        if (shots > 0 && !File.Exists(train))
            throw new EvaluationException(EvaluationFailure.DataNotFound, train, $"there is no such file, and the {shots} worked examples of a prompt "
                + "come from it. Put GSM8K's train.jsonl beside the questions, or ask for none (--shots 0).");
        var examples = shots == 0 ? [] : WordProblemFile.Read(train);
        if (examples.Count < shots)
            throw new EvaluationException(EvaluationFailure.DataInvalid, train, $"{examples.Count} problems", $"at least {shots} for the examples",
                "Give the whole training file, or ask for fewer examples.");
        return Build("gsm8k", problems, [.. examples.Take(shots)], maxNewTokens: 256);
    }

    /// <summary>The demo task: the question alone, without examples.</summary>
    public static EvaluationTask Demo(IEnumerable<WordProblem> problems) => Build("demo", [.. problems], [], maxNewTokens: 128);

    /// <summary>The prompt of one question after worked examples.</summary>
    public static string Prompt(IEnumerable<WordProblem> examples, string question)
    {
        ArgumentNullException.ThrowIfNull(examples);
        return string.Concat(examples.Select(example => $"Question: {example.Question}\nAnswer: {example.Answer}\n\n"))
            + $"Question: {question}\nAnswer:";
    }

    private static EvaluationTask Build(string name, IReadOnlyList<WordProblem> problems, WordProblem[] examples, int maxNewTokens)
    {
        var items = problems.Select(problem => new EvaluationItem(Prompt(examples, problem.Question), [], problem.Answer)).ToArray();
        var settings = new GenerationSettings(Stops, maxNewTokens);
        string words = FormattableString.Invariant($"{examples.Length}-shot, first of the training file in its order; ")
            + FormattableString.Invariant($"greedy, at most {maxNewTokens} tokens, stops {string.Join(' ', Stops)}; rules of gsm8k.yaml version 3");
        return new EvaluationTask(name, words, [AnswerExtraction.StrictMatch, AnswerExtraction.FlexibleExtract], items,
            (model, asked, cancellation) => Ask(model, asked, settings, cancellation));
    }

    private static async Task<IReadOnlyList<Sample>> Ask(ILanguageModel model, IReadOnlyList<(int Index, EvaluationItem Item)> asked,
        GenerationSettings settings, CancellationToken cancellation)
    {
        var answers = await model.Generate([.. asked.Select(one => one.Item.Prompt)], settings, cancellation).ConfigureAwait(false);
        return [.. asked.Zip(answers, (one, answer) => Judge(one.Index, one.Item, settings.Cut(answer.Text)))];
    }

    private static Sample Judge(int index, EvaluationItem item, string output)
    {
        string strict = AnswerExtraction.Strict(output), flexible = AnswerExtraction.Flexible(output);
        return new Sample(index, EvaluationTask.Hash(item.Prompt), output, AnswerExtraction.Clean(item.Gold),
            new Dictionary<string, string> { [AnswerExtraction.StrictMatch] = strict, [AnswerExtraction.FlexibleExtract] = flexible },
            new Dictionary<string, bool>
            {
                [AnswerExtraction.StrictMatch] = AnswerExtraction.IsRight(strict, item.Gold),
                [AnswerExtraction.FlexibleExtract] = AnswerExtraction.IsRight(flexible, item.Gold),
            });
    }
}
