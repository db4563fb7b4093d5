using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace NeuronQuant.Evaluation;

/// <summary>Sends one JSON request to an endpoint until it is answered, or will not be.</summary>
/// <remarks>
/// 429 (too many requests), 5xx, a broken connection and a timeout pass by themselves: the request is sent again after a wait that doubles.
/// Any other status means that the same request would be refused again: it is an error at once, with what the server said; so is an "error"
/// that a server or a gateway puts into an answer of status 200.
/// </remarks>
internal sealed class EndpointRequests(CompletionsOptions options, HttpClient client)
{
    private const int LongestQuote = 500; // Characters of a server's answer in a message.

    private static readonly TimeSpan LongestDelay = TimeSpan.FromMinutes(1);

    private readonly Uri _url = options.Url;

    public async Task<JsonElement> Send(JsonObject body, CancellationToken cancellation)
    {
        string text = body.ToJsonString();
        for (int attempt = 0; ; attempt++)
        {
            var (answer, failure, wait) = await Try(text, attempt, cancellation).ConfigureAwait(false);
            if (failure is null) return Parse(answer);
            if (attempt >= options.Retries)
                throw new EvaluationException(EvaluationFailure.EndpointFailed, _url.ToString(),
                    FormattableString.Invariant($"{failure} at the last of {attempt + 1} attempts"), "an answer",
                    "See the server's log; start it, or ask it less at once (Concurrency).");
            await Task.Delay(wait, cancellation).ConfigureAwait(false);
        }
    }

    private async Task<(string Answer, string? Failure, TimeSpan Wait)> Try(string body, int attempt, CancellationToken cancellation)
    {
        var wait = TimeSpan.FromTicks(Math.Min(LongestDelay.Ticks, options.FirstDelay.Ticks << Math.Min(attempt, 16)));
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(options.Timeout);
        try
        {
            using var content = new StringContent(body, Encoding.UTF8, "application/json");
            using var request = new HttpRequestMessage(HttpMethod.Post, _url) { Content = content };
            if (options.Key is { } key) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
            using var response = await client.SendAsync(request, patience.Token).ConfigureAwait(false);
            string answer = await response.Content.ReadAsStringAsync(patience.Token).ConfigureAwait(false);
            if (response.IsSuccessStatusCode) return (answer, null, wait);
            string failure = FormattableString.Invariant($"status {(int)response.StatusCode} ({Clip(answer)})");
            if (response.StatusCode != HttpStatusCode.TooManyRequests && (int)response.StatusCode < 500) throw Refused(failure);
            return ("", failure, Asked(response) ?? wait);
        }
        catch (HttpRequestException error)
        {
            return ("", error.Message, wait);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return ("", FormattableString.Invariant($"no answer within {options.Timeout.TotalSeconds:0.###} s"), wait);
        }
    }

    // Seconds, or a date, which is measured by the server's own clock where it tells the time.
    private static TimeSpan? Asked(HttpResponseMessage response)
    {
        var after = response.Headers.RetryAfter;
        var delay = after?.Delta ?? after?.Date - (response.Headers.Date ?? DateTimeOffset.UtcNow);
        return delay is { } asked ? TimeSpan.FromTicks(Math.Clamp(asked.Ticks, 0, LongestDelay.Ticks)) : null;
    }

    private JsonElement Parse(string answer)
    {
        try
        {
            using var document = JsonDocument.Parse(answer);
            var root = document.RootElement;
            bool failed = root.ValueKind == JsonValueKind.Object
                && (root.TryGetProperty("error", out var error) && error.ValueKind != JsonValueKind.Null
                    || root.TryGetProperty("object", out var kind) && kind.ValueKind == JsonValueKind.String && kind.ValueEquals("error"));
            return failed ? throw Refused($"an error inside an answer of status 200 ({Clip(answer)})") : root.Clone();
        }
        catch (JsonException invalid)
        {
            throw new EvaluationException(EvaluationFailure.EndpointAnswer, _url.ToString(), $"text that is not JSON ({Clip(answer)})",
                "an answer of the completions protocol", "Check the address: something else may be listening there.", invalid);
        }
    }

    private EvaluationException Refused(string failure) => new(EvaluationFailure.EndpointRefused, _url.ToString(), failure, "an answer",
        "Correct the address, the model's name, the key, or the length of prompt and answer together.");

    public static string Clip(string text) => text.Length <= LongestQuote ? text : text[..LongestQuote] + "...";
}
