using System.CommandLine;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq plan</c>: whether a model fits an Inf2 instance and how fast it can be at best; exit code 1 when it does not fit.</summary>
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
        command.SetAction(result => Run(result.GetRequiredValue(model), new PlanRequest(
            PlanInstance.Named(result.GetRequiredValue(instance)), result.GetValue(tp), result.GetValue(batch), result.GetValue(length),
            result.GetRequiredValue(format) is "bf16" ? Format.Bf16 : FormatNames.Parse(result.GetRequiredValue(format)), Fp8Cache: result.GetValue(cache) == "fp8",
            Keep: result.GetValue(keep)), result.GetValue(json)));
        return command;
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
