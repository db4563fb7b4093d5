using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using NeuronQuant.Evaluation;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Selection;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq compare</c>: methods on one model, by name, or the blog's table: unquantized, all, AutoRound, selective, both, and GPTQ. All answer the same
/// problems; each row has bytes, an interval, and paired tests against the unquantized model and the first row, corrected together. What selective
/// keeps is chosen by divergence on the calibration texts, under a budget of average bits, or given by --keep; no choice looks at a graded problem.
/// </summary>
internal static class CompareCommand
{
    private sealed record Request(
        string Model, int Bits, int? Group, string[] Methods, ulong Seed, int Outliers, string[] Keep, double AverageBits, TuningRecipe Recipe,
        CalibrationSource Calibration, string[] Tasks, int? Shots, int? Limit, string? Resume, bool Json, Placement Place);

    private static readonly (string Name, string Method)[] Blog =
        [("all", "rtn"), ("AutoRound", "autoround"), ("selective", "selective"), ("AutoRound + selective", "autoround+selective"), ("GPTQ", "gptq")];

    public static Command Create()
    {
        var (model, keep, calibration, samples, length, json) =
            (Arguments.Model(), Arguments.Keep(), TuningOptions.Calibration(), TuningOptions.Samples(), TuningOptions.SequenceLength(), Arguments.Json());
        var bits = new Option<int>("--bits") { Description = "Width of the codes, 2 to 8.", DefaultValueFactory = _ => 8 };
        var outliers = new Option<int>("--outliers") { Description = "Plant outliers in the weights first, this power of two above the rest: a defect made on purpose, that AWQ would remove by construction; the result says so. For one that it cannot, compare what nq train --activation-outliers makes. 0 leaves the model as it is." };
        var average = new Option<double>("--average-bits") { Description = "What selective may keep, as the average width that an int8 model would then have.", DefaultValueFactory = _ => 9 };
        var recipe = Arguments.Choice("--recipe", "AutoRound's recipe", "default", "light", "default", "best");
        var (tasks, shots, limit) = (TaskSource.Several(), TaskSource.Shots(), TaskSource.Limit());
        var resume = new Option<string?>("--resume") { Description = "A file that keeps each finished row; the same command goes on where it ended. Refused when model, tasks, bits, texts or seed are others." };
        var methods = MethodOptions.Methods();
        var seed = MethodOptions.Seed();
        var group = new Option<string?>("--group")
        {
            Description = "A scale for every so many weights along the input: for measuring. Not for autoround and gptq.",
        }.AcceptOnlyFromAmong("32", "64", "128");
        var command = new Command("compare", "Grade methods by name, or those of the blog's table and GPTQ, on the same problems.")
            { model, methods, bits, group, seed, outliers, keep, average, recipe, calibration, samples, length, tasks, shots, limit, resume, json };
        var place = new PlacementOptions();
        place.AddTo(command);
        command.SetAction((result, cancellation) =>
        {
            var chosen = TuningRecipe.Parse(result.GetRequiredValue(recipe));
            return Task.Run(() => Run(new Request(
                result.GetRequiredValue(model), result.GetValue(bits),
                result.GetValue(group) is { } size ? int.Parse(size, CultureInfo.InvariantCulture) : null,
                result.GetValue(methods) ?? [], result.GetValue(seed), result.GetValue(outliers),
                result.GetValue(keep) ?? [], result.GetValue(average), chosen,
                new CalibrationSource(result.GetValue(calibration), result.GetValue(samples) ?? chosen.Samples, result.GetValue(length)),
                result.GetValue(tasks) is { Length: > 0 } named ? named : ["demo"], result.GetValue(shots), result.GetValue(limit), result.GetValue(resume),
                result.GetValue(json), place.Read(result)), cancellation));
        });
        return command;
    }

    private static async Task<int> Run(Request request, CancellationToken cancellation)
    {
        if (request.Bits is < 2 or > 8) throw new UsageException($"--bits {request.Bits}: give 2 to 8.");
        if (request.AverageBits is < 8 or > 16 or double.NaN) throw new UsageException(FormattableString.Invariant($"--average-bits {request.AverageBits}: give 8 to 16."));
        var learned = new AutoRoundMethod(request.Recipe);
        var rows = request.Methods.Length > 0 ? request.Methods.Select(name => MethodOptions.Row(name, learned)).ToArray()
            : [.. Blog.Select(row => MethodOptions.Row(row.Method, learned) with { Name = row.Name })];
        ModelSource.Say(request.Model);
        var tasks = TaskSource.Parse(request.Tasks, request.Shots);
        var engine = EngineModel.Load(request.Model, request.Place);
        var (texts, origin) = request.Calibration.Read(engine.Model.Config, () => engine.Model, engine.Tokenizer, cancellation);
        var calibration = request.Calibration.SetOf(texts, engine.Model.Config, engine.Tokenizer);
        var start = engine.Model.Copy();
        if (request.Outliers > 0) OutlierInjection.Apply(start, request.Outliers);
        var grid = request.Group is int group ? Grid.Nxd(request.Bits).InGroups(group) : Grid.Nxd(request.Bits);
        var kept = request.Keep.Length > 0 ? request.Keep
            : rows.Any(row => row.Selective) ? Chosen(request, start, texts, Grid.Nxd(request.Bits), cancellation) : [];
        var finished = request.Resume is { } file ? FinishedRows.Open(file, Settings(request, engine.Name, grid, kept, origin, texts, tasks)) : null;
        using var line = new ProgressLine(Console.Error, Console.IsErrorRedirected);
        var compared = await MethodComparison.Run(engine, start, grid, kept, rows, new MethodInput(calibration, request.Seed, cancellation), tasks,
            new EvaluationOptions(request.Limit, Progress: line.Show), name => line.Subject = name, finished);
        line.Clear();
        if (request.Json) PrintJson(request, compared, kept, origin, tasks);
        else Print(request, compared, kept, origin, tasks);
        return 0;
    }

    // Everything but the methods that decides a row.
    private static string[] Settings(
        Request request, string model, Grid grid, string[] kept, string origin, IReadOnlyList<int[]> texts, IReadOnlyList<EvaluationTask> tasks) =>
    [
        $"model {model}, {request.Place}", $"outliers {request.Outliers}", $"grid {grid}", $"kept {string.Join(',', kept)}", $"recipe {request.Recipe}", $"seed {request.Seed}",
        $"calibration {origin}, {request.Calibration}, {Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes<int>(texts.SelectMany(text => text.Append(-1)).ToArray())))[..12]}",
        .. tasks.Select(task => $"task {task.Name}, {task.Settings}, {task.DataHash}, {request.Limit?.ToString(CultureInfo.InvariantCulture) ?? "all"} problems"),
    ];

    private static string[] Chosen(Request request, LlamaModel model, IReadOnlyList<int[]> texts, Grid grid, CancellationToken cancellation)
    {
        var scores = CommandOutput.WithProgress("choosing", progress => ModelScores.Divergence(model, texts, grid, progress, cancellation), cancellation);
        return [.. BudgetSelection.ByAverageBits(ModelScores.Profile(model), scores, request.AverageBits).Selection.Entries];
    }

    private static void Print(Request request, MethodComparison compared, string[] kept, string origin, IReadOnlyList<EvaluationTask> tasks)
    {
        if (request.Outliers > 0)
            CommandOutput.Note($"outliers were injected by a factor of {request.Outliers}; every row is of the changed model. "
                + "They are the inverse of the fold that AWQ and SmoothQuant look for, so those two win here by construction.");
        CommandOutput.Note($"calibration: {origin}. AutoRound's recipe: {request.Recipe.Name}, seed {request.Seed}. Selective keeps "
            + $"{(kept.Length == 0 ? "nothing" : string.Join(',', kept))}.");
        foreach (var row in compared.Methods.Where(row => row.WhyNotOnNeuron is not null).GroupBy(row => row.WhyNotOnNeuron))
            CommandOutput.Note($"for measuring only: {string.Join(", ", row.Select(one => one.Name))}: {row.Key}.");
        CommandOutput.Show(compared.ToDataFrame());
        CommandOutput.Show(compared.ToPairs());
        foreach (var task in tasks) CommandOutput.Say($"{task.Name}: {task.Settings}.");
    }

    private static void PrintJson(Request request, MethodComparison compared, string[] kept, string origin, IReadOnlyList<EvaluationTask> tasks) =>
        CommandOutput.Json(new
        {
            request.Bits,
            request.Group,
            request.Seed,
            outliers_injected = request.Outliers,
            modules_to_not_convert = kept,
            recipe = request.Recipe.Name,
            calibration = origin,
            tasks = tasks.Select(task => new { task.Name, task.Settings, task.DataHash }),
            rows = compared.Rows.Select(row => new
            {
                method = row.Name,
                average_bits = row.AverageBits,
                linear_bytes = row.Bytes,
                scores = row.Results.Select(result => new { result.Task, result.Main.Metric, result.Main.Right, result.Main.Total, interval_95 = new[] { result.Main.Interval.Low, result.Main.Interval.High } }),
                answer_loss = row.Answers?.Loss,
                row.Answers?.Divergence,
                row.Seconds,
                row.QuestionsPerSecond,
                on_front = compared.IsOnFront(row),
                why_not_on_neuron = row.WhyNotOnNeuron,
            }),
            pairs = compared.Pairs().Select(pair => new
            {
                pair.Task,
                pair.Paired.Model,
                against = pair.Paired.Baseline,
                pair.Paired.OnlyModel,
                only_other = pair.Paired.OnlyBaseline,
                p = pair.Paired.PValue,
                p_holm = pair.Corrected,
                questions_to_tell_apart = pair.Needed,
            }),
        });
}
