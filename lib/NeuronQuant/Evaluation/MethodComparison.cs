using System.Diagnostics;
using Microsoft.Data.Analysis;
using NeuronQuant.Display;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Evaluation;

/// <summary>A method in a comparison: what it costs and what it keeps.</summary>
/// <param name="Name">the row's name</param>
/// <param name="AverageBits">mean width of the linear weights; scales not counted</param>
/// <param name="Bytes">of all linear modules, scales counted</param>
/// <param name="Result">score on the task</param>
/// <param name="Answers">loss and divergence on the right answers; null where the task has none in words</param>
/// <param name="Seconds">of making the integers, on this machine</param>
/// <param name="WhyNotOnNeuron">why NxDI cannot load them; null where it can</param>
public sealed record ComparedMethod(
    string Name, double AverageBits, long Bytes, EvaluationResult Result, AnswerLoss? Answers, double Seconds, string? WhyNotOnNeuron);

/// <summary>Two rows that are spoken of together, and what the answers say.</summary>
/// <param name="Paired">the test of the first against the second</param>
/// <param name="Corrected">its p-value after Holm's correction for all pairs of the table</param>
/// <param name="Needed">questions it would take to tell them apart; null where both won as often</param>
public sealed record ComparedPair(PairedComparison Paired, double Corrected, long? Needed);

/// <summary>Several methods on one model, one grid and the same questions.</summary>
/// <remarks>
/// No method sees a graded question: integers come of calibration texts. The tests are those that a reader would make in passing: every row against
/// the unquantized model, every row against rounding to nearest, and the best row against the next. All of them together are corrected by Holm,
/// since of twenty tests at 0.05 one finds something where nothing is. Bytes and score span the front: a row is on it when none has both fewer or
/// as many bytes and a better score, or fewer bytes and as good a one.
/// </remarks>
/// <param name="Unquantized">the model in floating point</param>
/// <param name="Methods">the quantized rows; the first is what the others are tested against</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record MethodComparison(ComparedMethod Unquantized, IReadOnlyList<ComparedMethod> Methods)
{
    /// <summary>Makes, measures and grades every row.</summary>
    /// <param name="engine">tokenizer</param>
    /// <param name="model">the model in floating point</param>
    /// <param name="grid">of all quantized modules</param>
    /// <param name="kept">what selective rows keep, entries as NxDI takes them</param>
    /// <param name="rows">see <see cref="MethodRegistry.Parse"/></param>
    /// <param name="input">calibration texts and seed</param>
    /// <param name="task">what is graded</param>
    /// <param name="options">limit and progress; its samples file is not used</param>
    /// <param name="subject">told the row that is worked on; null for nobody</param>
    /// <param name="finished">rows that need not be made again, and where new ones are kept; null for none</param>
    public static async Task<MethodComparison> Run(EngineModel engine, LlamaModel model, Grid grid, IReadOnlyList<string> kept,
        IReadOnlyList<MethodRow> rows,
        MethodInput input, EvaluationTask task, EvaluationOptions? options = null, Action<string>? subject = null, FinishedRows? finished = null)
    {
        ArgumentNullException.ThrowIfNull(engine);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(rows);
        options = (options ?? new EvaluationOptions()) with { SamplesFile = null };
        EvaluationItem[] items = [.. task.Items.Take(options.Limit ?? task.Items.Count)];
        async Task<ComparedMethod> Grade(string name, LlamaModel weights, double bits, long size, double seconds, string? whyNot)
        {
            var result = await Evaluator.Run(task, engine.With(weights, name), options, input.Cancellation).ConfigureAwait(false);
            var row = new ComparedMethod(name, bits, size, result, AnswerLoss.Measure(engine, model, weights, items, input.Cancellation), seconds, whyNot);
            finished?.Add(row);
            return row;
        }
        subject?.Invoke("unquantized");
        long bytes = 2 * model.Linears.Sum(linear => (long)linear.Out * linear.In);
        var first = finished?.Find("unquantized") ?? await Grade("unquantized", model, 16, bytes, 0, null).ConfigureAwait(false);
        var made = new List<ComparedMethod>();
        foreach (var row in rows)
        {
            subject?.Invoke(row.Name);
            if (finished?.Find(row.Name) is { } known)
            {
                made.Add(known);
                continue;
            }
            var grids = ModelGrids.Of(model.Config, grid, row.Selective ? kept : []);
            var watch = Stopwatch.StartNew();
            var quantized = row.Method.Apply(model, grids, input);
            double seconds = watch.Elapsed.TotalSeconds;
            string? whyNot = quantized.Weights.Values.Select(weight => weight.Grid.WhyNotOnNeuron).FirstOrDefault(reason => reason is not null);
            using var weights = quantized.ToModel();
            made.Add(await Grade(row.Name, weights, ModelGrids.AverageBits(model, grids), quantized.Bytes, seconds, whyNot).ConfigureAwait(false));
        }
        return new MethodComparison(first, made);
    }

    /// <summary>Every row, the unquantized model first.</summary>
    public IReadOnlyList<ComparedMethod> Rows => [Unquantized, .. Methods];

    /// <summary>The tests that the table invites, corrected together.</summary>
    /// <exception cref="EvaluationException">rows are of other questions</exception>
    public IReadOnlyList<ComparedPair> Pairs()
    {
        var pairs = Methods.Select(row => (row, Unquantized)).Concat(Methods.Skip(1).Select(row => (row, Methods[0]))).ToList();
        var order = Methods.OrderByDescending(row => row.Result.Main.Right).ThenBy(row => row.Bytes).ToArray();
        if (order.Length > 1 && !pairs.Contains((order[0], order[1]))) pairs.Add((order[0], order[1]));
        PairedComparison[] tests = [.. pairs.Select(pair => PairedComparison.Of(pair.Item1.Result, pair.Item2.Result))];
        double[] corrected = Statistics.Holm([.. tests.Select(test => test.PValue)]);
        return [.. tests.Select((test, i) =>
            new ComparedPair(test, corrected[i], Statistics.QuestionsToTellApart(test.OnlyModel, test.OnlyBaseline, test.Total)))];
    }

    /// <summary>Whether no other row has fewer bytes and as good a score, or as few and a better one.</summary>
    public bool IsOnFront(ComparedMethod row)
    {
        ArgumentNullException.ThrowIfNull(row);
        return !Rows.Any(other => other.Bytes <= row.Bytes && other.Result.Main.Right >= row.Result.Main.Right
            && (other.Bytes < row.Bytes || other.Result.Main.Right > row.Result.Main.Right));
    }

    /// <summary>A row for each method; those on the front stand out.</summary>
    public DataFrame ToDataFrame() => Frames.From(
            $"{Unquantized.Result.Task}, {Unquantized.Result.Main.Total} questions: what methods cost and keep", Rows,
            ("method", row => row.Name),
            (new Column("bits", "0.00"), row => row.AverageBits),
            (new Column("linear kB", "0.0"), row => row.Bytes / 1e3),
            (new Column("accuracy %", "0.0"), row => 100 * row.Result.Main.Accuracy),
            (new Column("95 % from", "0.0"), row => 100 * row.Result.Main.Interval.Low),
            (new Column("to", "0.0"), row => 100 * row.Result.Main.Interval.High),
            (new Column("answer loss, nats", "0.0000"), row => row.Answers?.Loss),
            (new Column("divergence, nats", "0.0000"), row => row.Answers?.Divergence),
            (new Column("seconds", "0.0"), row => row.Seconds),
            ("front", row => IsOnFront(row) ? "yes" : ""))
        .Mark(row => row[9] is "yes");

    /// <summary>A row for each test.</summary>
    public DataFrame ToPairs() => Frames.From("Paired tests: McNemar, and after Holm's correction for all of them", Pairs(),
        ("row", pair => pair.Paired.Model), ("against", pair => pair.Paired.Baseline),
        (new Column("difference", "+0.0;-0.0;0.0"), pair => 100 * pair.Paired.Difference), ("won", pair => pair.Paired.OnlyModel),
        ("lost", pair => pair.Paired.OnlyBaseline), (new Column("p", "0.0000"), pair => pair.Paired.PValue),
        (new Column("p, Holm", "0.0000"), pair => pair.Corrected), ("questions to tell apart", pair => pair.Needed));

    /// <summary>The table for a notebook.</summary>
    public string ToHtml() => $"{ToDataFrame().ToHtml()}\n{ToPairs().ToHtml()}";

    /// <summary>The table as text.</summary>
    public override string ToString() => $"{ToDataFrame().ToText()}\n{ToPairs().ToText()}";
}
