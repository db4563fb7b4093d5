using System.CommandLine;
using NeuronQuant.Checkpoints;
using NeuronQuant.Evaluation;
using NeuronQuant.Tensors;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>
/// <c>nq eval</c>: grade a model on a task. Every answer goes to the samples file, from which an interrupted run goes on and against which
/// another model is compared, question by question.
/// </summary>
internal static class EvalCommand
{
    private sealed record Request(
        string? Model, string? Endpoint, string? EndpointModel, string Task, string? Data, int? Limit, int? Shots, string? Samples, string? Baseline, bool Json, Placement Place);

    public static Command Create()
    {
        var model = new Argument<string?>("MODEL") { Description = "A folder in Hugging Face layout; leave it out with --endpoint.", Arity = ArgumentArity.ZeroOrOne };
        var endpoint = new Option<string?>("--endpoint") { Description = "An OpenAI-compatible server in place of MODEL, such as http://localhost:8000/v1." };
        var name = new Option<string?>("--endpoint-model") { Description = "The model's name at the endpoint." };
        var task = Arguments.Choice("--task", "What to grade", "demo", [.. TaskSource.Names, "perplexity"]);
        var data = new Option<string?>("--data") { Description = "The task's file; the demo task generates its own held-out problems without one." };
        var (limit, shots) = (TaskSource.Limit(), TaskSource.Shots());
        var samples = new Option<string?>("--samples") { Description = "Record every answer here; a run that was interrupted goes on." };
        var baseline = new Option<string?>("--baseline") { Description = "A samples file to compare with, question by question." };
        var json = Arguments.Json();
        var command = new Command("eval", "Grade a model on a task.") { model, endpoint, name, task, data, limit, shots, samples, baseline, json };
        var place = new PlacementOptions();
        place.AddTo(command);
        command.SetAction((result, cancellation) => Task.Run(() => Run(new Request(
            result.GetValue(model), result.GetValue(endpoint), result.GetValue(name), result.GetRequiredValue(task), result.GetValue(data), result.GetValue(limit),
            result.GetValue(shots), result.GetValue(samples), result.GetValue(baseline), result.GetValue(json), place.Read(result)), cancellation)));
        return command;
    }

    private static async Task<int> Run(Request request, CancellationToken cancellation)
    {
        if ((request.Model is null) == (request.Endpoint is null)) throw new UsageException("Give either MODEL or --endpoint.");
        foreach (string? read in new[] { request.Data, request.Baseline })
            if (request.Samples is not null && read is not null && TargetGuard.AreSame(request.Samples, read))
                throw new UsageException($"--samples {request.Samples}: this file is read as well. Give the answers a file of their own.");
        using var endpoint = request.Endpoint is null ? null : new CompletionsEndpoint(new CompletionsOptions(
            request.Endpoint, request.EndpointModel ?? throw new UsageException("--endpoint needs --endpoint-model, the model's name there.")));
        if (request.Model is not null) ModelSource.Say(request.Model);
        if (request.Task == "perplexity") return Measure(request, cancellation);
        var task = TaskSource.Of(request.Task, request.Data, request.Shots);
        ILanguageModel model = endpoint is not null ? endpoint : EngineModel.Load(request.Model!, request.Place);
        using var line = new ProgressLine(Console.Error, Console.IsErrorRedirected) { Subject = request.Task };
        var result = await Evaluator.Run(task, model, new EvaluationOptions(request.Limit, null, request.Samples, line.Show), cancellation);
        line.Clear();
        var paired = request.Baseline is null ? null : PairedComparison.Of(result, request.Baseline);
        if (request.Json)
        {
            CommandOutput.Json(new
            {
                result.Task,
                result.Model,
                result.Settings,
                scores = result.Scores().Select(score => new { score.Metric, score.Group, score.Right, score.Total, score.Accuracy, interval_95 = new[] { score.Interval.Low, score.Interval.High } }),
                baseline = paired is null ? null : new { paired.Baseline, paired.Metric, paired.OnlyModel, paired.OnlyBaseline, paired.Difference, paired.PValue },
                request.Samples,
            });
            return 0;
        }
        CommandOutput.Show(result.ToDataFrame());
        if (paired is not null) CommandOutput.Show(paired.ToDataFrame());
        CommandOutput.Say($"{result.Settings}.");
        return 0;
    }

    private static int Measure(Request request, CancellationToken cancellation)
    {
        if (request.Model is null) throw new UsageException("perplexity needs logits, which an endpoint does not give: use MODEL.");
        string text = TextFile.Read(TaskSource.Needed(request.Task, request.Data));
        var result = Perplexity.Measure(EngineModel.Load(request.Model, request.Place), text, cancellation: cancellation);
        if (request.Json) CommandOutput.Json(new { result.Model, result.Tokens, result.Bytes, result.NatsPerToken, perplexity = result.Value, result.BitsPerByte, result.Window, result.Stride });
        else CommandOutput.Show(result.ToDataFrame());
        return 0;
    }
}
