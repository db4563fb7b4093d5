using NeuronQuant.Models;
using NeuronQuant.Tokenization;

namespace NeuronQuant.Evaluation;

/// <summary>Where calibration texts come from: a file, word problems, or the model itself.</summary>
/// <remarks>
/// <para>Tuning and scores look at what layers do on texts, so the texts should be like those the model will see. A file is the best source.
/// Without one the model writes its own: tokens drawn at temperature 1, from the begin token on, are a sample of what it has learned
/// (LLM-QAT, Liu et al., 2023, does so), and need nothing but the model. A model that was trained on answers alone, as the demo model was,
/// has not learned to write questions, and its own texts are poor ones: for it there are training problems in data/demo-calibration.jsonl.</para>
/// <para>Never calibrate on what a model is graded on. Left out: chat templates, packing several short texts into one sequence.</para>
/// </remarks>
public static class CalibrationTexts
{
    /// <summary>Token ids of a file: JSON lines with "question" and "answer" give a text each; JSON lines with "text", and any other file as one
    /// text, are cut into pieces.</summary>
    /// <param name="path">a .jsonl file, or plain text in UTF-8, or in what its byte order mark says</param>
    /// <param name="tokenizer">the model's</param>
    /// <param name="length">tokens of a piece of plain text</param>
    /// <exception cref="EvaluationException">the file is missing, a text holds less than two tokens, a line is neither a text nor a problem, or the bytes are not text</exception>
    public static IReadOnlyList<int[]> Read(string path, Tokenizer tokenizer, int length)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        if (!File.Exists(path))
            throw new EvaluationException(EvaluationFailure.DataNotFound, path, "no such file. Give a text file, or JSON lines with \"text\" or with \"question\" and \"answer\".");
        if (Path.GetExtension(path).Equals(".jsonl", StringComparison.OrdinalIgnoreCase)) return OfLines(path, tokenizer, length);
        return [.. Pieces(path, tokenizer.Encode(TextFile.Read(path)), length)];
    }

    private static IReadOnlyList<int[]> OfLines(string path, Tokenizer tokenizer, int length)
    {
        var texts = new List<int[]>();
        foreach (var (number, line) in JsonLines.Read(path))
        {
            string where = FormattableString.Invariant($"{path}, line {number}");
            if (line.TryGetProperty("text", out _))
                texts.AddRange(Pieces(where, tokenizer.Encode(JsonLines.Text(path, number, line, "text")), length));
            else if (line.TryGetProperty("question", out _)) texts.AddRange(OfProblems([WordProblemFile.Of(path, number, line)], tokenizer));
            else
                throw JsonLines.Invalid(path, number, "neither \"text\" nor \"question\"", "{\"text\": …} or {\"question\": …, \"answer\": …}", null);
        }
        return texts.Count > 0 ? texts : throw new EvaluationException(EvaluationFailure.DataInvalid, path, "holds no line. Give a text on each line.");
    }

    private static IEnumerable<int[]> Pieces(string where, int[] tokens, int length) => tokens.Length > 1
        ? tokens.Chunk(length)
        : throw new EvaluationException(EvaluationFailure.DataInvalid, where, $"holds {tokens.Length} tokens. Give a text of some thousand words.");

    /// <summary>Token ids of word problems as a model is asked them, with their answers: "Question: …\nAnswer: …".</summary>
    /// <param name="problems">problems that no model is graded on</param>
    /// <param name="tokenizer">the model's</param>
    public static IReadOnlyList<int[]> OfProblems(IEnumerable<WordProblem> problems, Tokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(problems);
        ArgumentNullException.ThrowIfNull(tokenizer);
        return [.. problems.Select(problem => tokenizer.Encode($"{WordProblemTask.Prompt([], problem.Question)} {problem.Answer}"))];
    }

    /// <summary>Texts by the model itself, from the begin token on, at temperature 1; a text ends with the model's end tokens or at the length.</summary>
    /// <param name="model">the model in floating point</param>
    /// <param name="tokenizer">says how a text begins</param>
    /// <param name="count">texts</param>
    /// <param name="length">tokens of a text at most, the begin token included</param>
    /// <param name="seed">the same seed gives the same texts on the same machine</param>
    /// <param name="cancellation">checked at each token</param>
    /// <exception cref="EvaluationException">the tokenizer has no begin token</exception>
    public static IReadOnlyList<int[]> Generate(
        LlamaModel model, Tokenizer tokenizer, int count, int length, ulong seed = 42, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 2);
        int[] begin = tokenizer.Encode("");
        if (begin.Length == 0) begin = tokenizer.Roles.Begin is int token ? [token]
            : throw new EvaluationException(EvaluationFailure.NotOffered, "tokenizer", "has no token that begins a text, so the model cannot write texts of its own. Give calibration texts in a file.");
        var options = new GenerationOptions(Math.Max(1, length - begin.Length), model.Config.EndTokenIds, Temperature: 1, seed);
        var made = Models.Generation.Run(model, [.. Enumerable.Repeat(begin, count)], options, cancellation: cancellation);
        return [.. made.Select(text => (int[])[.. begin, .. text])];
    }
}
