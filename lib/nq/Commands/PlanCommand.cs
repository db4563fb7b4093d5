using System.CommandLine;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq plan</c>: whether a model fits an Inf2 instance and how fast it can be at best; exit code 1 when it does not fit. With --tune, what tuning it needs.</summary>
internal static class PlanCommand
{
    public static Command Create()
    {
        var model = new Argument<string>("MODEL") { Description = "A folder with config.json; weights are not needed." };
        var (keep, json) = (Arguments.Keep(), Arguments.Json());
        var instance = new Option<string>("--instance") { Description = $"One of {string.Join(", ", PlanInstance.All.Select(known => known.Name))}.", DefaultValueFactory = _ => "inf2.8xlarge" };
        var tp = new Option<int?>("--tp") { Description = "tp_degree: NeuronCores that share the model; 2, those of a chip, unless given." };
        var batch = new Option<int>("--batch") { Description = "Sequences at once.", DefaultValueFactory = _ => 1 };
        var length = new Option<int>("--seq-len") { Description = "Tokens of prompt and answer together.", DefaultValueFactory = _ => 4096 };
        var format = Arguments.Choice("--format", "Format of the linear layers", "int8", "bf16", "int8", "f8e4m3", "f8e5m2");
        var cache = Arguments.Choice("--kv", "Format of the cache", "bf16", "bf16", "fp8");
        var command = new Command("plan", "Say whether a model fits an Inf2 instance, and how fast it can be at best.") { model, instance, tp, batch, length, format, cache, keep, json };
        var tune = new Option<bool>("--tune") { Description = "Say instead how much memory nq autoround needs for it." };
        var (samples, tokens, place) = (TuningOptions.Samples(), TuningOptions.SequenceLength(), new PlacementOptions());
        foreach (var option in new Option[] { tune, samples, tokens }) command.Add(option);
        place.AddTo(command);
        command.SetAction(result => result.GetValue(tune)
            ? Tune(result.GetRequiredValue(model), place.Read(result), TuningRecipe.Default with { Samples = result.GetValue(samples) ?? TuningRecipe.Default.Samples, SequenceLength = result.GetValue(tokens) }, result.GetValue(json))
            : Run(result.GetRequiredValue(model), new PlanRequest(
            PlanInstance.Named(result.GetRequiredValue(instance)), result.GetValue(tp), result.GetValue(batch), result.GetValue(length),
            result.GetRequiredValue(format) is "bf16" ? Format.Bf16 : FormatNames.Parse(result.GetRequiredValue(format)), Fp8Cache: result.GetValue(cache) == "fp8",
            Keep: result.GetValue(keep)), result.GetValue(json)));
        return command;
    }

    private static int Tune(string path, Placement place, TuningRecipe recipe, bool json)
    {
        var memory = TuningMemory.Of(ModelFolder.Config(path), place, recipe);
        if (json) CommandOutput.Json(memory);
        else
        {
            CommandOutput.Show(memory.ToDataFrame());
            CommandOutput.Say($"{recipe.Samples} sequences of {recipe.SequenceLength} tokens, {recipe.BatchSize} at a time, {place}. The runtime and libtorch take half a GiB more.");
        }
        return 0;
    }

    private static int Run(string path, PlanRequest request, bool json)
    {
        var model = ModelFolder.Config(path);
        if (model.NotComputed is { } obstacle) CommandOutput.Note($"{obstacle}; a plan needs none.");
        if (model.QuantizationMethod is { } method)
            CommandOutput.Note($"config.json says that the weights are quantized already ({method}); the plan is of the folder that nq quantize would write from them.");
        var plan = InferencePlan.Create(model, request);
        var recorded = PlanRecorded.IsBlogsModel(model) ? PlanRecorded.Compare(model, RecordedFigures.Blog()) : [];
        bool fits = plan.Findings.All(finding => finding.Severity != ConfigSeverity.Error);
        if (json)
        {
            CommandOutput.Json(new
            {
                fits,
                plan.Request.Instance,
                plan.Parameters,
                tp_degree = plan.Heads.TpDegree,
                plan.Heads,
                weights = plan.Weights,
                plan.CacheBytes,
                plan.CoreWeightsGib,
                plan.CoreCacheGib,
                plan.CoreFreeGib,
                plan.HostGibFromFolder,
                plan.HostGibByNxdi,
                plan.HostGibCompiling,
                plan.MillisecondsPerStep,
                plan.MillisecondsPerStepFullCache,
                plan.TokensPerSecond,
                plan.Findings,
                recorded,
            });
            return fits ? 0 : 1;
        }
        CommandOutput.Show(plan.ToDataFrame());
        if (plan.Findings.Count > 0) CommandOutput.Show(ConfigFinding.ToDataFrame("What speaks against it", plan.Findings));
        if (recorded.Count > 0) CommandOutput.Show(PlanRecorded.ToDataFrame(model, RecordedFigures.Blog()));
        CommandOutput.Say("Speeds are ceilings: each weight is read once a step, and nothing else takes time.");
        return fits ? 0 : 1;
    }
}
