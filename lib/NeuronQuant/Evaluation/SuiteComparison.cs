using System.Diagnostics;
using Microsoft.Data.Analysis;
using NeuronQuant.Display;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using Plotly.NET;
using Chart = Plotly.NET.CSharp.Chart;

namespace NeuronQuant.Evaluation;

/// <summary>A method on several benchmarks.</summary>
/// <param name="Name">the row's name</param>
/// <param name="AverageBits">mean width of the linear weights; scales not counted</param>
/// <param name="Bytes">of all linear modules, scales counted</param>
/// <param name="Seconds">of making the integers, on this machine</param>
/// <param name="QuestionsPerSecond">over all tasks, on this machine and in this library's engine; it says nothing of a device's speed</param>
/// <param name="Results">one a task, in the suite's order</param>
public sealed record SuiteRow(string Name, double AverageBits, long Bytes, double Seconds, double QuestionsPerSecond, IReadOnlyList<EvaluationResult> Results);

/// <summary>A row on one task, beside the unquantized model.</summary>
/// <param name="Task">the task's name</param>
/// <param name="Paired">the row against the unquantized model, question by question</param>
/// <param name="Corrected">its p-value after Holm's correction over all rows and tasks</param>
/// <param name="Needed">questions it would take to tell the two apart; null where both won as often</param>
public sealed record SuitePair(string Task, PairedComparison Paired, double Corrected, long? Needed);

/// <summary>Several methods on several benchmarks in one run: each is made once, and answers everything.</summary>
/// <remarks>
/// A method that wins on one benchmark need not on another, and a table of many scores always has a highest one. So every score stands beside the
/// unquantized model's on the same questions, and all tests of the table are corrected together. No mean over tasks is given: scores of
/// four choices and of a written number have different zeros.
/// </remarks>
/// <param name="Rows">the unquantized model first</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record SuiteComparison(IReadOnlyList<SuiteRow> Rows)
{
    /// <summary>Makes every row and grades it on every task.</summary>
    /// <param name="engine">tokenizer</param>
    /// <param name="model">the model in floating point</param>
    /// <param name="grid">of all quantized modules</param>
    /// <param name="kept">what selective rows keep, entries as NxDI takes them</param>
    /// <param name="rows">see <see cref="MethodRegistry.Parse"/></param>
    /// <param name="input">calibration texts and seed</param>
    /// <param name="tasks">what is graded; no two of one name</param>
    /// <param name="options">limit for each task, and progress; its samples file is not used</param>
    /// <param name="subject">told the row that is worked on; null for nobody</param>
    /// <exception cref="ArgumentException">there is no task, or two have one name</exception>
    public static async Task<SuiteComparison> Run(EngineModel engine, LlamaModel model, Grid grid, IReadOnlyList<string> kept, IReadOnlyList<MethodRow> rows,
        MethodInput input, IReadOnlyList<EvaluationTask> tasks, EvaluationOptions? options = null, Action<string>? subject = null)
    {
        ArgumentNullException.ThrowIfNull(engine);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(rows);
        ArgumentNullException.ThrowIfNull(tasks);
        if (tasks.Count == 0 || tasks.DistinctBy(task => task.Name).Count() < tasks.Count)
            throw new ArgumentException("Give at least one task, and each task once.", nameof(tasks));
        options = (options ?? new EvaluationOptions()) with { SamplesFile = null };
        async Task<SuiteRow> Grade(string name, LlamaModel weights, double bits, long bytes, double seconds)
        {
            var results = new List<EvaluationResult>();
            var watch = Stopwatch.StartNew();
            foreach (var task in tasks) results.Add(await Evaluator.Run(task, engine.With(weights, name), options, input.Cancellation).ConfigureAwait(false));
            return new SuiteRow(name, bits, bytes, seconds, results.Sum(result => result.Samples.Count) / watch.Elapsed.TotalSeconds, results);
        }
        subject?.Invoke("unquantized");
        var made = new List<SuiteRow> { await Grade("unquantized", model, 16, 2 * model.Linears.Sum(linear => (long)linear.Out * linear.In), 0).ConfigureAwait(false) };
        foreach (var row in rows)
        {
            subject?.Invoke(row.Name);
            var grids = ModelGrids.Of(model.Config, grid, row.Selective ? kept : []);
            var watch = Stopwatch.StartNew();
            var quantized = row.Method.Apply(model, grids, input);
            double seconds = watch.Elapsed.TotalSeconds;
            using var weights = quantized.ToModel();
            made.Add(await Grade(row.Name, weights, ModelGrids.AverageBits(model, grids), quantized.Bytes, seconds).ConfigureAwait(false));
        }
        return new SuiteComparison(made);
    }

    /// <summary>Every row against the unquantized model on every task, corrected together.</summary>
    public IReadOnlyList<SuitePair> Pairs()
    {
        var tests = Rows.Skip(1).SelectMany(row => row.Results.Zip(Rows[0].Results, (result, first) => (result.Task, Paired: PairedComparison.Of(result, first)))).ToArray();
        double[] corrected = Statistics.Holm([.. tests.Select(test => test.Paired.PValue)]);
        return [.. tests.Select((test, i) => new SuitePair(test.Task, test.Paired, corrected[i],
            Statistics.QuestionsToTellApart(test.Paired.OnlyModel, test.Paired.OnlyBaseline, test.Paired.Total)))];
    }

    /// <summary>A row for each method: size, time, and accuracy on each task.</summary>
    public DataFrame ToDataFrame()
    {
        Column[] tasks = [.. Rows[0].Results.Select(result => new Column($"{result.Task} %, of {result.Samples.Count}", "0.0"))];
        var table = new FrameRows("Methods on several benchmarks", [new Column("method"), new Column("bits", "0.00"), new Column("linear kB", "0.0"), .. tasks,
            new Column("made in s", "0.0"), new Column("questions/s here", "0")]);
        foreach (var row in Rows)
            table.Row([row.Name, row.AverageBits, row.Bytes / 1e3, .. row.Results.Select(result => (object)(100 * result.Main.Accuracy)), row.Seconds, row.QuestionsPerSecond]);
        return table;
    }

    /// <summary>A row for each test.</summary>
    public DataFrame ToPairs() => Frames.From("Against the unquantized model: McNemar, and after Holm's correction for the whole table", Pairs(),
        ("row", pair => pair.Paired.Model), ("task", pair => pair.Task),
        (new Column("difference", "+0.0;-0.0;0.0"), pair => 100 * pair.Paired.Difference), ("won", pair => pair.Paired.OnlyModel),
        ("lost", pair => pair.Paired.OnlyBaseline), (new Column("p", "0.0000"), pair => pair.Paired.PValue),
        (new Column("p, Holm", "0.0000"), pair => pair.Corrected), ("questions to tell apart", pair => pair.Needed));

    /// <summary>Each row's difference from the unquantized model on one task, in points, with its 95 % interval.</summary>
    /// <param name="task">the task's name</param>
    /// <exception cref="ArgumentException">there is no such task</exception>
    public GenericChart ToChart(string task)
    {
        PairedComparison[] pairs = [.. Pairs().Where(pair => pair.Task == task).Select(pair => pair.Paired)];
        if (pairs.Length == 0) throw new ArgumentException($"There is no task '{task}' with a quantized row: {string.Join(", ", Rows[0].Results.Select(result => result.Task))}.", nameof(task));
        double[] points = [.. pairs.Select(pair => 100 * pair.Difference)];
        return Chart.Point<string, double, string>(x: pairs.Select(pair => pair.Model).ToArray(), y: points, Name: task)
            .Between(points, pairs.Select(pair => (100 * Math.Min(pair.Difference, pair.Interval.Low), 100 * Math.Max(pair.Difference, pair.Interval.High))))
            .Titled($"{task}, {pairs[0].Total} questions, against the unquantized model").Axes("", "difference (points), 95 % interval")
            .Threshold(0, "unquantized");
    }

    /// <summary>The tables for a notebook.</summary>
    public string ToHtml() => $"{ToDataFrame().ToHtml()}\n{ToPairs().ToHtml()}";

    /// <summary>The tables as text.</summary>
    public override string ToString() => $"{ToDataFrame().ToText()}\n{ToPairs().ToText()}";
}
