using System.CommandLine;
using NeuronQuant.Models;
using NeuronQuant.Selection;
using NeuronQuant.Sensitivity;
using NeuronQuant.Tensors;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq select</c>: the modules that should stay in bf16 under a budget, as entries for --keep and modules_to_not_convert. Scores of the
/// weights alone stream through any checkpoint; the others run the model on calibration texts, and measure the chosen set once more.
/// </summary>
internal static class SelectCommand
{
    private sealed record Request(string Model, long? Budget, double? Bits, string Score, CalibrationSource Calibration, bool Json, Placement Place);

    public static Command Create()
    {
        var (model, json, calibration, samples, length) =
            (Arguments.Model(), Arguments.Json(), TuningOptions.Calibration(), TuningOptions.Samples("32"), TuningOptions.SequenceLength());
        var budget = new Option<long?>("--budget") { Description = "Bytes for all linear modules, scales included." };
        var bits = new Option<double?>("--average-bits") { Description = "Largest average width of a linear weight, from 8 (all quantized) to 16, in place of --budget." };
        var score = Arguments.Choice("--score", "What a module loses when it is quantized; the last three run the model", "int8_mse",
            "outlier_magnitude", "int8_mse", "activation_weighted_error", "gradient_times_error", "divergence");
        var command = new Command("select", "Choose the modules that stay in bf16 under a budget, exactly.") { model, budget, bits, score, calibration, samples, length, json };
        var place = new PlacementOptions();
        place.AddTo(command);
        command.SetAction((result, cancellation) => Task.Run(() => Run(new Request(
            result.GetRequiredValue(model), result.GetValue(budget), result.GetValue(bits), result.GetRequiredValue(score),
            new CalibrationSource(result.GetValue(calibration), result.GetValue(samples) ?? 32, result.GetValue(length)), result.GetValue(json), place.Read(result)), cancellation)));
        return command;
    }

    private static int Run(Request request, CancellationToken cancellation)
    {
        if ((request.Budget is null) == (request.Bits is null)) throw new UsageException("Give either --budget BYTES or --average-bits B.");
        if (request.Bits is < 8 or > 16 or double.NaN) throw new UsageException(FormattableString.Invariant($"--average-bits {request.Bits}: give 8 to 16."));
        using var source = ModelSource.Open(request.Model);
        var profile = CommandOutput.WithProgress("measuring", progress => ModelProfile.Measure(source, progress, cancellation), cancellation);
        var model = request.Score is "outlier_magnitude" or "int8_mse" ? null : ModelFiles.Load(source, request.Place);
        var (texts, origin) = model is null ? ([], null) : request.Calibration.Read(model.Config, () => model, CalibrationSource.TokenizerOf(source), cancellation);
        var scores = Scores(request.Score, profile, model, texts, cancellation);
        var chosen = Choose(request, profile, scores);
        var agreement = Agreement(scores, profile, model, texts, cancellation);
        double? divergence = model is null ? null : ModelScores.DivergenceOf(model, texts, chosen.Selection.Kept, cancellation: cancellation);
        if (request.Json)
        {
            CommandOutput.Json(new
            {
                score = scores.Name,
                scores.Unit,
                chosen.Selection.Rule,
                modules_to_not_convert = chosen.Selection.Entries,
                kept = chosen.Selection.Kept.Select(module => module.Name),
                chosen.Selection.AverageBits,
                chosen.Bytes,
                chosen.LostScore,
                chosen.TotalScore,
                calibration = origin,
                divergence_of_the_set = divergence,
                rank_correlation = agreement,
                scores = scores.Values.ToDictionary(pair => pair.Key.Name, pair => pair.Value),
            });
            return 0;
        }
        if (origin is not null) CommandOutput.Note($"calibration: {origin}.");
        CommandOutput.Show(chosen.ToDataFrame());
        CommandOutput.Say($"{chosen}");
        if (agreement.Count > 0) CommandOutput.Say($"rank correlation with the cheaper scores: {string.Join(", ", agreement.Select(pair => FormattableString.Invariant($"{pair.Key} {pair.Value:0.00}")))}");
        if (divergence is double nats) CommandOutput.Say(FormattableString.Invariant($"measured with the whole set: {nats:0.000e+0} nats per token"));
        CommandOutput.Say(chosen.Selection.Entries.Count == 0 ? "Nothing stays in bf16." : $"--keep {string.Join(',', chosen.Selection.Entries)}");
        return 0;
    }

    private static ModuleScores Scores(string name, ModelProfile profile, LlamaModel? model, IReadOnlyList<int[]> texts, CancellationToken cancellation) => name switch
    {
        "outlier_magnitude" => ModuleScores.Of(profile, Metric.OutlierMagnitude),
        "int8_mse" => ModuleScores.Of(profile, Metric.Int8Mse),
        "activation_weighted_error" => ModelScores.ActivationWeightedError(model!, texts, cancellation: cancellation),
        "gradient_times_error" => ModelScores.GradientTimesError(model!, texts, cancellation: cancellation),
        _ => CommandOutput.WithProgress("measuring", progress => ModelScores.Divergence(model!, texts, progress: progress, cancellation: cancellation), cancellation),
    };

    // What another score would have said of the same modules; only scores that cost at most one pass.
    private static Dictionary<string, double> Agreement(ModuleScores scores, ModelProfile profile, LlamaModel? model, IReadOnlyList<int[]> texts, CancellationToken cancellation)
    {
        if (scores.Values.Count < 2) return []; // No order to compare.
        string[] cheap = model is null ? ["outlier_magnitude", "int8_mse"] : ["outlier_magnitude", "int8_mse", "activation_weighted_error", "gradient_times_error"];
        return cheap.Where(name => name != scores.Name)
            .ToDictionary(name => name, name => RankCorrelation.Spearman(scores, Scores(name, profile, model, texts, cancellation)));
    }

    private static BudgetSelection Choose(Request request, ModelProfile profile, ModuleScores scores)
    {
        try
        {
            return request.Budget is long bytes ? BudgetSelection.ByBytes(profile, scores, bytes) : BudgetSelection.ByAverageBits(profile, scores, request.Bits!.Value);
        }
        catch (ArgumentException refused)
        {
            throw new UsageException(refused.Message);
        }
    }
}
