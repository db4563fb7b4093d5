using System.Diagnostics;
using Microsoft.Data.Analysis;
using NeuronQuant.Display;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using Plotly.NET;
using Chart = Plotly.NET.CSharp.Chart;

namespace NeuronQuant.Evaluation;

/// <summary>A method in a comparison: what it costs and what it keeps.</summary>
/// <param name="Name">the row's name</param>
/// <param name="AverageBits">mean width of the linear weights; scales not counted</param>
/// <param name="Bytes">of all linear modules, scales counted</param>
/// <param name="Results">scores, one a task, in the comparison's order</param>
/// <param name="Answers">loss and divergence on the right answers of all tasks; null where none has them in words</param>
/// <param name="Seconds">of making the integers, on this machine</param>
/// <param name="QuestionsPerSecond">over all tasks, on this machine and in this library's engine, which reads right answers as drafts; it says nothing of a device's speed</param>
/// <param name="WhyNotOnNeuron">why NxDI cannot load them; null where it can</param>
public sealed record ComparedMethod(string Name, double AverageBits, long Bytes, IReadOnlyList<EvaluationResult> Results, AnswerLoss? Answers,
    double Seconds, double QuestionsPerSecond, string? WhyNotOnNeuron)
{
    /// <summary>The score on the first task.</summary>
    public EvaluationResult Result => Results[0];
}

/// <summary>Two rows that are spoken of together, and what the answers to one task say.</summary>
/// <param name="Task">the task's name</param>
/// <param name="Paired">the test of the first against the second</param>
/// <param name="Corrected">its p-value after Holm's correction for all pairs of the table</param>
/// <param name="Needed">questions it would take to tell them apart; null where both won as often</param>
public sealed record ComparedPair(string Task, PairedComparison Paired, double Corrected, long? Needed);

/// <summary>Several methods on one model, one grid and the same questions, of one benchmark or of several: each is made once, and answers everything.</summary>
/// <remarks>
/// No method sees a graded question: integers come of calibration texts. The tests are those that a reader would make in passing: every row
/// against the unquantized model, every row against the first, and the best row against the next; on several tasks the first kind alone. All of them
/// together are corrected by Holm, since of twenty tests at 0.05 one finds something where nothing is. Bytes and scores span the front: a row is on it when none has as few bytes and
/// is as good on every task, and has fewer or is better on one. No mean over tasks is given: scores of four choices and of a written number have
/// different zeros.
/// </remarks>
/// <param name="Unquantized">the model in floating point</param>
/// <param name="Methods">the quantized rows; the first is what the others are tested against</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record MethodComparison(ComparedMethod Unquantized, IReadOnlyList<ComparedMethod> Methods)
{
    private const string BeforeRounding = "unquantized";

    /// <summary>Makes, measures and grades every row.</summary>
    /// <param name="engine">tokenizer</param>
    /// <param name="model">the model in floating point</param>
    /// <param name="grid">of all quantized modules</param>
    /// <param name="kept">what selective rows keep, entries as NxDI takes them</param>
    /// <param name="rows">see <see cref="MethodRegistry.Parse"/></param>
    /// <param name="input">calibration texts and seed</param>
    /// <param name="tasks">what is graded; no two of one name</param>
    /// <param name="options">limit for each task, and progress; its samples file is not used</param>
    /// <param name="subject">told the row that is worked on; null for nobody</param>
    /// <param name="finished">rows that need not be made again, and where new ones are kept; null for none</param>
    /// <exception cref="ArgumentException">there is no task, or two have one name</exception>
    public static async Task<MethodComparison> Run(EngineModel engine, LlamaModel model, Grid grid, IReadOnlyList<string> kept, IReadOnlyList<MethodRow> rows,
        MethodInput input, IReadOnlyList<EvaluationTask> tasks, EvaluationOptions? options = null, Action<string>? subject = null, FinishedRows? finished = null)
    {
        ArgumentNullException.ThrowIfNull(engine);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(rows);
        ArgumentNullException.ThrowIfNull(tasks);
        if (tasks.Count == 0 || tasks.DistinctBy(task => task.Name).Count() < tasks.Count)
            throw new ArgumentException("Give at least one task, and each task once.", nameof(tasks));
        options = (options ?? new EvaluationOptions()) with { SamplesFile = null };
        EvaluationItem[] items = [.. tasks.SelectMany(task => task.Items.Take(options.Limit ?? task.Items.Count))];
        var answers = new Lazy<AnswerReference>(() => new AnswerReference(engine, model, items)); // Not where every row is finished.

        async Task<ComparedMethod> Grade(ComparedMethod made, LlamaModel weights)
        {
            var results = new List<EvaluationResult>();
            var graded = answers.Value.Drafting(engine.With(weights, made.Name), input.Cancellation);
            var watch = Stopwatch.StartNew();
            foreach (var task in tasks) results.Add(await Evaluator.Run(task, graded, options, input.Cancellation).ConfigureAwait(false));
            double rate = results.Sum(result => result.Samples.Count) / watch.Elapsed.TotalSeconds;
            return made with { Results = results, QuestionsPerSecond = rate, Answers = answers.Value.Measure(weights, input.Cancellation) };
        }

        async Task<ComparedMethod> Make(MethodRow row)
        {
            var grids = ModelGrids.Of(model.Config, grid, row.Selective ? kept : []);
            var watch = Stopwatch.StartNew();
            var quantized = row.Method.Apply(model, grids, input);
            double seconds = watch.Elapsed.TotalSeconds;
            string? whyNot = quantized.Weights.Values.Select(weight => weight.Grid.WhyNotOnNeuron).FirstOrDefault(reason => reason is not null);
            using var weights = quantized.ToModel();
            return await Grade(new ComparedMethod(row.Name, ModelGrids.AverageBits(model, grids), quantized.Bytes, [], null, seconds, 0, whyNot), weights).ConfigureAwait(false);
        }

        async Task<ComparedMethod> Known(string name, Func<Task<ComparedMethod>> make)
        {
            subject?.Invoke(name);
            if (finished?.Find(name) is { } known) return known;
            var made = await make().ConfigureAwait(false);
            finished?.Add(made);
            return made;
        }

        try
        {
            long bytes = 2 * model.Linears.Sum(linear => (long)linear.Out * linear.In);
            var first = await Known(BeforeRounding, () => Grade(new ComparedMethod(BeforeRounding, 16, bytes, [], null, 0, 0, null), model)).ConfigureAwait(false);
            var all = new List<ComparedMethod>();
            foreach (var row in rows) all.Add(await Known(row.Name, () => Make(row)).ConfigureAwait(false));
            return new MethodComparison(first, all);
        }
        finally
        {
            if (answers.IsValueCreated) answers.Value.Dispose();
        }
    }

    /// <summary>Every row, the unquantized model first.</summary>
    public IReadOnlyList<ComparedMethod> Rows => [Unquantized, .. Methods];

    /// <summary>The tests that the table invites, corrected together.</summary>
    /// <exception cref="EvaluationException">rows are of other questions</exception>
    public IReadOnlyList<ComparedPair> Pairs()
    {
        var tests = Unquantized.Results.SelectMany((result, task) => PairsOn(task).Select(paired => (result.Task, Paired: paired))).ToArray();
        double[] corrected = Statistics.Holm([.. tests.Select(test => test.Paired.PValue)]);
        return [.. tests.Select((test, i) => new ComparedPair(test.Task, test.Paired, corrected[i],
            Statistics.QuestionsToTellApart(test.Paired.OnlyModel, test.Paired.OnlyBaseline, test.Paired.Total)))];
    }

    private IEnumerable<PairedComparison> PairsOn(int task)
    {
        var pairs = Methods.Select(row => (row, Unquantized)).ToList();
        if (Unquantized.Results.Count == 1)
        {
            pairs.AddRange(Methods.Skip(1).Select(row => (row, Methods[0])));
            var order = Methods.OrderByDescending(row => row.Result.Main.Right).ThenBy(row => row.Bytes).ToArray();
            if (order.Length > 1 && !pairs.Contains((order[0], order[1]))) pairs.Add((order[0], order[1]));
        }
        return pairs.Select(pair => PairedComparison.Of(pair.Item1.Results[task], pair.Item2.Results[task]));
    }

    /// <summary>Whether no other row is as small and as good on every task, and smaller or better on one.</summary>
    public bool IsOnFront(ComparedMethod row)
    {
        ArgumentNullException.ThrowIfNull(row);
        return !Rows.Any(other => other.Bytes <= row.Bytes && Better(other, row).All(points => points >= 0)
            && (other.Bytes < row.Bytes || Better(other, row).Any(points => points > 0)));
        static IEnumerable<int> Better(ComparedMethod other, ComparedMethod row) =>
            other.Results.Zip(row.Results, (theirs, ours) => theirs.Main.Right - ours.Main.Right);
    }

    /// <summary>A row for each method, with its interval where there is one task; those on the front stand out.</summary>
    public DataFrame ToDataFrame()
    {
        bool one = Unquantized.Results.Count == 1;
        Column[] scores = one ? [new Column("accuracy %", "0.0"), new Column("95 % from", "0.0"), new Column("to", "0.0")]
            : [.. Unquantized.Results.Select(result => new Column($"{result.Task} %, of {result.Samples.Count}", "0.0"))];
        var table = new FrameRows(one ? $"{Unquantized.Result.Task}, {Unquantized.Result.Main.Total} questions: what methods cost and keep"
            : "What methods cost and keep, on several benchmarks",
            [new Column("method"), new Column("bits", "0.00"), new Column("linear kB", "0.0"), .. scores, new Column("answer loss, nats", "0.0000"),
             new Column("divergence, nats", "0.0000"), new Column("made in s", "0.0"), new Column("questions/s here", "0"), new Column("front")]);
        foreach (var row in Rows)
        {
            var interval = row.Result.Main.Interval;
            object?[] points = [.. row.Results.Select(result => (object)(100 * result.Main.Accuracy)), .. one ? new object[] { 100 * interval.Low, 100 * interval.High } : []];
            table.Row([row.Name, row.AverageBits, row.Bytes / 1e3, .. points, row.Answers?.Loss, row.Answers?.Divergence, row.Seconds, row.QuestionsPerSecond, IsOnFront(row) ? "yes" : ""]);
        }
        return table.ToDataFrame().Mark(row => row["front"] is "yes");
    }

    /// <summary>A row for each test.</summary>
    public DataFrame ToPairs() => Frames.From("Paired tests: McNemar, and after Holm's correction for all of them", Pairs(),
        ("row", pair => pair.Paired.Model), ("against", pair => pair.Paired.Baseline), ("task", pair => pair.Task),
        (new Column("difference", "+0.0;-0.0;0.0"), pair => 100 * pair.Paired.Difference), ("won", pair => pair.Paired.OnlyModel),
        ("lost", pair => pair.Paired.OnlyBaseline), (new Column("p", "0.0000"), pair => pair.Paired.PValue),
        (new Column("p, Holm", "0.0000"), pair => pair.Corrected), (new Column("questions to tell apart", "0"), pair => pair.Needed));

    /// <summary>Each row's difference from the unquantized model on one task, in points, with its 95 % interval.</summary>
    /// <param name="task">the task's name</param>
    /// <exception cref="ArgumentException">there is no such task, or no quantized row</exception>
    public GenericChart ToChart(string task)
    {
        PairedComparison[] pairs = [.. Pairs().Where(pair => pair.Task == task && pair.Paired.Baseline == Unquantized.Name).Select(pair => pair.Paired)];
        if (pairs.Length == 0)
            throw new ArgumentException($"There is no task '{task}' with a quantized row: {string.Join(", ", Unquantized.Results.Select(result => result.Task))}.", nameof(task));
        double[] points = [.. pairs.Select(pair => 100 * pair.Difference)];
        return Chart.Point<string, double, string>(x: pairs.Select(pair => pair.Model).ToArray(), y: points, Name: "difference")
            .Between(points, pairs.Select(pair => (100 * Math.Min(pair.Difference, pair.Interval.Low), 100 * Math.Max(pair.Difference, pair.Interval.High))))
            .Titled($"{task}, {pairs[0].Total} questions, against the unquantized model").Axes("", "difference (points), 95 % interval")
            .Threshold(0, "unquantized");
    }

    /// <summary>The tables for a notebook.</summary>
    public string ToHtml() => $"{ToDataFrame().ToHtml()}\n{ToPairs().ToHtml()}";

    /// <summary>The tables as text.</summary>
    public override string ToString() => $"{ToDataFrame().ToText()}\n{ToPairs().ToText()}";
}
