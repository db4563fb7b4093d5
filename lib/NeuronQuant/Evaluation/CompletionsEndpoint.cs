using System.Text.Json;
using System.Text.Json.Nodes;

namespace NeuronQuant.Evaluation;

/// <summary>A model behind an OpenAI-compatible completions endpoint, such as vLLM's on an Inferentia2 host.</summary>
/// <remarks>
/// <para>The completions protocol, not the chat one: the evaluation's prompt must reach the model as it is, without a chat template around it.
/// One request a prompt, several at once; the server batches. Temperature 0 and a fixed seed.</para>
/// <para>Log-likelihoods come from "echo" with "logprobs", which some servers do not have; the prompt is sent as ids, so that the seam between
/// context and continuation is where <see cref="ContinuationSplit"/> puts it, for which the served model's tokenizer is needed.</para>
/// </remarks>
public sealed class CompletionsEndpoint : ILanguageModel, IDisposable
{
    private const int Seed = 1234; // Of no effect at temperature 0, where a server honours that.

    private readonly CompletionsOptions _options;
    private readonly HttpClient _client;
    private readonly EndpointRequests _requests;

    /// <summary>A client; nothing is sent yet.</summary>
    /// <exception cref="EvaluationException">The address is no URL.</exception>
    public CompletionsEndpoint(CompletionsOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Concurrency, 1, nameof(options));
        _options = options;
        _client = new HttpClient { Timeout = Timeout.InfiniteTimeSpan }; // Each request has a limit of its own.
        _requests = new EndpointRequests(options, _client);
    }

    /// <inheritdoc/>
    public string Name => $"{_options.Model} (endpoint)";

    /// <inheritdoc/>
    public int MaxContext => _options.MaxContext;

    /// <inheritdoc/>
    public int PreferredBatch => 4 * _options.Concurrency; // Long answers of a batch then have short ones beside them to hide among.

    /// <inheritdoc/>
    /// <exception cref="EvaluationException">The endpoint keeps failing, refuses, or answers something else.</exception>
    public Task<IReadOnlyList<Generation>> Generate(IReadOnlyList<string> prompts, GenerationSettings settings,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        ArgumentNullException.ThrowIfNull(settings);
        return All(prompts, (prompt, token) => GenerateOne(prompt, settings, token), cancellation);
    }

    /// <inheritdoc/>
    /// <exception cref="EvaluationException">No Encode was given, or the endpoint fails or has no "echo" with "logprobs".</exception>
    public Task<IReadOnlyList<Likelihood>> Score(IReadOnlyList<Continuation> requests, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(requests);
        var encode = _options.Encode ?? throw new EvaluationException(EvaluationFailure.NotOffered, Name, "no tokenizer", "the served model's",
            "Set CompletionsOptions.Encode, or evaluate a task whose answers are generated.");
        return All(requests, (request, token) => ScoreOne(encode, request, token), cancellation);
    }

    /// <inheritdoc/>
    public void Dispose() => _client.Dispose();

    private async Task<Generation> GenerateOne(string prompt, GenerationSettings settings, CancellationToken cancellation)
    {
        var body = Body(prompt, settings.MaxNewTokens);
        body["stop"] = new JsonArray([.. settings.Stops.Select(stop => JsonValue.Create(stop))]);
        var choice = Choice(await _requests.Send(body, cancellation).ConfigureAwait(false));
        if (!choice.TryGetProperty("text", out var text) || text.ValueKind != JsonValueKind.String) throw Unexpected("a choice without \"text\"");
        bool truncated = choice.TryGetProperty("finish_reason", out var reason) && reason is { ValueKind: JsonValueKind.String }
            && reason.GetString() == "length";
        return new Generation(settings.Cut(text.GetString()!), truncated);
    }

    private async Task<Likelihood> ScoreOne(Func<string, int[]> encode, Continuation request, CancellationToken cancellation)
    {
        var (ids, context) = ContinuationSplit.Encode(encode, request);
        var body = Body(new JsonArray([.. ids.Select(id => JsonValue.Create(id))]), maxTokens: 1);
        body["echo"] = true;
        body["logprobs"] = 1;
        var choice = Choice(await _requests.Send(body, cancellation).ConfigureAwait(false));
        if (!choice.TryGetProperty("logprobs", out var found) || found.ValueKind != JsonValueKind.Object
            || !found.TryGetProperty("token_logprobs", out var own) || !found.TryGetProperty("top_logprobs", out var top)
            || own.ValueKind != JsonValueKind.Array || top.ValueKind != JsonValueKind.Array || own.GetArrayLength() < ids.Length
            || top.GetArrayLength() < ids.Length)
            throw Unexpected("no log-probabilities of the prompt's tokens");
        return Sum(own, top, context, ids.Length);
    }

    private Likelihood Sum(JsonElement own, JsonElement top, int from, int to)
    {
        double sum = 0;
        bool greedy = true;
        for (int i = from; i < to; i++)
        {
            if (own[i].ValueKind != JsonValueKind.Number || top[i].ValueKind != JsonValueKind.Object)
                throw Unexpected(FormattableString.Invariant($"no log-probability of token {i}"));
            double value = own[i].GetDouble();
            sum += value;
            greedy &= top[i].EnumerateObject().All(pair => pair.Value.ValueKind != JsonValueKind.Number || pair.Value.GetDouble() <= value);
        }
        return new Likelihood(sum, to - from, greedy);
    }

    private JsonObject Body(JsonNode prompt, int maxTokens) => new()
    {
        ["model"] = _options.Model,
        ["prompt"] = prompt,
        ["max_tokens"] = maxTokens,
        ["temperature"] = 0,
        ["seed"] = Seed,
    };

    private JsonElement Choice(JsonElement answer) =>
        answer.ValueKind == JsonValueKind.Object && answer.TryGetProperty("choices", out var choices) && choices.ValueKind == JsonValueKind.Array
            && choices.GetArrayLength() == 1 && choices[0].ValueKind == JsonValueKind.Object
            ? choices[0]
            : throw Unexpected($"no single choice ({EndpointRequests.Clip(answer.GetRawText())})");

    private EvaluationException Unexpected(string found) => new(EvaluationFailure.EndpointAnswer, _options.Url.ToString(), found,
        "an answer of the completions protocol", "Check that the server offers /v1/completions with echo and logprobs.");

    // In order, at most Concurrency at once; the first failure stops the others.
    private async Task<IReadOnlyList<TResult>> All<T, TResult>(IReadOnlyList<T> items, Func<T, CancellationToken, Task<TResult>> ask,
        CancellationToken cancellation)
    {
        var results = new TResult[items.Count];
        var options = new ParallelOptions { MaxDegreeOfParallelism = _options.Concurrency, CancellationToken = cancellation };
        await Parallel.ForEachAsync(Enumerable.Range(0, items.Count), options,
            async (index, token) => results[index] = await ask(items[index], token).ConfigureAwait(false)).ConfigureAwait(false);
        return results;
    }
}
