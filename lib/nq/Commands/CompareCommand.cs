using System.CommandLine;
using NeuronQuant.Display;
using NeuronQuant.Evaluation;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Selection;
using NeuronQuant.Tuning;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq compare</c>: the blog's table on one model. Unquantized, all, AutoRound, selective, both, and GPTQ answer the same problems; each row has
/// an interval and a paired test against the unquantized model and against "all". What selective keeps is chosen by divergence on the calibration
/// texts, under a budget of average bits, or given by --keep; no choice looks at a graded problem.
/// </summary>
internal static class CompareCommand
{
    private sealed record Request(
        string Model, int Bits, int Outliers, string[] Keep, double AverageBits, TuningRecipe Recipe, CalibrationSource Calibration, string? Data, int? Limit, bool Json);

    public static Command Create()
    {
        var (model, keep, calibration, samples, length, json) =
            (Arguments.Model(), Arguments.Keep(), TuningOptions.Calibration(), TuningOptions.Samples(), TuningOptions.SequenceLength(), Arguments.Json());
        var bits = new Option<int>("--bits") { Description = "Width of the codes, 2 to 8.", DefaultValueFactory = _ => 8 };
        var outliers = new Option<int>("--outliers") { Description = "Plant outliers in the weights first, this power of two above the rest: a defect made on purpose, that AWQ would remove by construction; the result says so. 0 leaves the model as it is." };
        var average = new Option<double>("--average-bits") { Description = "What selective may keep, as the average width that an int8 model would then have.", DefaultValueFactory = _ => 9 };
        var recipe = Arguments.Choice("--recipe", "AutoRound's recipe", "default", "light", "default", "best");
        var data = new Option<string?>("--data") { Description = "Word problems as GSM8K has them, JSON lines; the demo task's held-out problems without one." };
        var limit = new Option<int?>("--limit") { Description = "Only the first so many problems." };
        var command = new Command("compare", "Grade every method of the blog's table, and GPTQ, on the same problems.")
            { model, bits, outliers, keep, average, recipe, calibration, samples, length, data, limit, json };
        command.SetAction((result, cancellation) =>
        {
            var chosen = TuningRecipe.Parse(result.GetRequiredValue(recipe));
            return Task.Run(() => Run(new Request(
                result.GetRequiredValue(model), result.GetValue(bits), result.GetValue(outliers), result.GetValue(keep) ?? [], result.GetValue(average), chosen,
                new CalibrationSource(result.GetValue(calibration), result.GetValue(samples) ?? chosen.Samples, result.GetValue(length)), result.GetValue(data),
                result.GetValue(limit), result.GetValue(json)), cancellation));
        });
        return command;
    }

    private static async Task<int> Run(Request request, CancellationToken cancellation)
    {
        if (request.Bits is < 2 or > 8) throw new UsageException($"--bits {request.Bits}: give 2 to 8.");
        if (request.AverageBits is < 8 or > 16 or double.NaN) throw new UsageException(FormattableString.Invariant($"--average-bits {request.AverageBits}: give 8 to 16."));
        ModelSource.Say(request.Model);
        var engine = EngineModel.Load(request.Model);
        var task = WordProblemTask.Demo(request.Data is null
            ? DemoTask.Generate(DemoPart.HeldOut, DemoTask.GradingSeed, 1000).Select(problem => problem.Problem) : WordProblemFile.Read(request.Data));
        var (texts, origin) = request.Calibration.Read(engine.Model.Config, () => engine.Model, engine.Tokenizer, cancellation);
        var calibration = request.Calibration.SetOf(texts, engine.Model.Config, engine.Tokenizer);
        var start = engine.Model.Copy();
        if (request.Outliers > 0) OutlierInjection.Apply(start, request.Outliers);
        var grid = Grid.Nxd(request.Bits);
        var kept = request.Keep.Length > 0 ? request.Keep : Chosen(request, start, texts, grid, cancellation);
        using var line = new ProgressLine(Console.Error, Console.IsErrorRedirected);
        Task<EvaluationResult> Grade(string name, LlamaModel weights)
        {
            line.Subject = name;
            return Evaluator.Run(task, engine.With(weights, name), new EvaluationOptions(request.Limit, Progress: line.Show), cancellation);
        }
        var rows = new List<EvaluationResult> { await Grade("unquantized", start) };
        var methods = QuantizationMethods.Of(start, grid, kept, calibration, request.Recipe, cancellation: cancellation);
        foreach (var method in methods) rows.Add(await Grade(method.Name, method.Make()));
        line.Clear();
        Print(request, rows, methods, kept, origin, task.Settings);
        return 0;
    }

    private static string[] Chosen(Request request, LlamaModel model, IReadOnlyList<int[]> texts, Grid grid, CancellationToken cancellation)
    {
        var scores = CommandOutput.WithProgress("choosing", progress => ModelScores.Divergence(model, texts, grid, progress, cancellation), cancellation);
        return [.. BudgetSelection.ByAverageBits(QuantizedCopy.Profile(model), scores, request.AverageBits).Selection.Entries];
    }

    private static void Print(Request request, List<EvaluationResult> rows, IReadOnlyList<QuantizationMethod> methods, string[] kept, string origin, string settings)
    {
        var (unquantized, quantized) = (new Comparison(rows[0], rows[1..]), new Comparison(rows[1], rows[2..]));
        if (request.Json)
        {
            CommandOutput.Json(new
            {
                request.Bits,
                outliers_injected = request.Outliers,
                modules_to_not_convert = kept,
                recipe = request.Recipe.Name,
                calibration = origin,
                settings,
                rows = rows.Select((row, i) => new
                {
                    method = row.Model,
                    average_bits = i == 0 ? 16 : methods[i - 1].AverageBits,
                    row.Main.Right,
                    row.Main.Total,
                    interval_95 = new[] { row.Main.Interval.Low, row.Main.Interval.High },
                    p_against_unquantized = i == 0 ? (double?)null : PairedComparison.Of(row, rows[0]).PValue,
                    p_against_all = i < 2 ? (double?)null : PairedComparison.Of(row, rows[1]).PValue,
                }),
            });
            return;
        }
        if (request.Outliers > 0) CommandOutput.Note($"outliers were injected by a factor of {request.Outliers}; every row is of the changed model.");
        CommandOutput.Note($"calibration: {origin}. AutoRound's recipe: {request.Recipe.Name}. Selective keeps {string.Join(',', kept)}.");
        CommandOutput.Show(unquantized.ToDataFrame());
        CommandOutput.Show(quantized.ToDataFrame());
        CommandOutput.Show(Frames.From("Width of the linear weights", methods, ("method", method => method.Name), (new Column("average bits", "0.00"), method => method.AverageBits)));
        CommandOutput.Say($"{settings}.");
    }
}
