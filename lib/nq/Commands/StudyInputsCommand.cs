using System.CommandLine;
using NeuronQuant.Display;
using NeuronQuant.Selection;
using NeuronQuant.Tensors;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq study inputs</c>: what is lost when linear modules read inputs of 8 bits, all of them and one at a time; with --bits also which few should
/// go on reading bf16, and what that set costs when it is measured as a whole.
/// </summary>
internal static class StudyInputsCommand
{
    private static readonly Dictionary<string, InputFormat> Formats = new()
    {
        ["int8"] = InputFormat.Int8,
        ["e4m3"] = InputFormat.E4M3,
        ["e4m3-nxd"] = InputFormat.E4M3Neuron,
    };

    public static Command Create()
    {
        var (options, json) = (new StudyOptions(32, 512), Arguments.Json());
        var format = Arguments.Choice("--format", "How inputs are rounded: as vLLM does it on a GPU, or e4m3-nxd, NxDI's dynamic fp8", "int8",
            [.. Formats.Keys]);
        var bits = new Option<double?>("--bits") { Description = "Choose the inputs that stay in bf16, within this average width: 8 (none) to 16." };
        var command = new Command("inputs", "Measure what 8-bit inputs of linear modules cost, all together and one at a time.") { format, bits, json };
        options.AddTo(command);
        command.SetAction((result, cancellation) => Task.Run(() => Run(options.Read(result), Formats[result.GetRequiredValue(format)],
            result.GetValue(bits), result.GetValue(json), cancellation)));
        return command;
    }

    private static int Run(StudySource source, InputFormat format, double? bits, bool json, CancellationToken cancellation)
    {
        if (bits is < 8 or > 16 or double.NaN) throw new UsageException(FormattableString.Invariant($"--bits {bits}: give 8 to 16."));
        var (model, texts, origin) = source.Open(cancellation);
        var scores = CommandOutput.WithProgress("one input at a time",
            progress => InputScores.Divergence(model, texts, format, cancellation, progress), cancellation);
        var ranges = CommandOutput.WithProgress("their range", progress => InputRanges.Measure(model, texts, progress, cancellation), cancellation);
        using var reference = new InputReference(model, texts, cancellation);
        double all = reference.Divergence(format, cancellation: cancellation);
        var chosen = bits is double width ? InputScores.Choose(model, scores, width) : null;
        double? measured = chosen is null ? null : reference.Divergence(format, chosen.Selection.Kept, cancellation);
        if (json) PrintJson(format, origin, all, scores, ranges, chosen, measured);
        else Print(format, origin, all, scores, ranges, chosen, measured);
        return 0;
    }

    private static void Print(
        InputFormat format, string origin, double all, ModuleScores scores, InputRanges ranges, BudgetSelection? chosen, double? measured)
    {
        var kept = (chosen?.Selection.Kept ?? []).ToHashSet();
        CommandOutput.Note($"texts: {origin}.");
        CommandOutput.Note("inputs are rounded in a simulation with weights in floating point: on Inferentia2 they stay in bf16.");
        CommandOutput.Show(Frames.From($"Input of one module in {format.Name}", scores.Values.OrderByDescending(pair => pair.Value),
                ("module", pair => pair.Key.Name), (new Column("divergence (nats per token)", "0.000e+0"), pair => pair.Value),
                (new Column("largest crest factor", "0.0"), pair => ranges[pair.Key].CrestFactor),
                (new Column("largest channel / median", "0.0"), pair => ranges[pair.Key].Ratio), ("channels at 6", pair => ranges[pair.Key].AtSix.Count()),
                ("stays in bf16", pair => kept.Contains(pair.Key) ? "yes" : ""))
            .Mark(row => row[5] is "yes"));
        double sum = scores.Values.Values.Sum();
        CommandOutput.Say(FormattableString.Invariant($"all inputs in {format.Name}: {all:0.000e+0} nats per token; the modules' sum: {sum:0.000e+0}"));
        CommandOutput.Say($"features that reach 6 in 6 % of the tokens and 25 % of the layers, LLM.int8's outliers: "
            + $"{(ranges.OutlierFeatures is { Count: > 0 } features ? string.Join(", ", features) : "none")}");
        if (chosen is null) return;
        CommandOutput.Say(FormattableString.Invariant($"{chosen.Selection.Kept.Count} inputs in bf16, {chosen.Selection.Rule}: ")
            + FormattableString.Invariant($"measured {measured:0.000e+0} nats per token; the others' sum: {chosen.LostScore:0.000e+0}"));
    }

    private static void PrintJson(
        InputFormat format, string origin, double all, ModuleScores scores, InputRanges ranges, BudgetSelection? chosen, double? measured) =>
        CommandOutput.Json(new
        {
            format = format.Name,
            texts = origin,
            scores.Unit,
            divergence = all,
            sum_of_modules = scores.Values.Values.Sum(),
            modules = scores.Values.OrderBy(pair => pair.Key)
                .Select(pair => new { module = pair.Key.Name, divergence = pair.Value, crest_factor = ranges[pair.Key].CrestFactor }),
            inputs = ranges.Inputs.Select(input => new
            {
                input.Layer,
                input.Input,
                largest_channel = input.Maxima.Max(),
                largest_over_median = input.Ratio,
                channels_at_6 = input.AtSix,
            }),
            outlier_features = ranges.OutlierFeatures,
            choice = chosen is null ? null : new
            {
                chosen.Selection.Rule,
                kept = chosen.Selection.Kept.Select(module => module.Name),
                sum_of_others = chosen.LostScore,
                divergence = measured,
            },
        });
}
