namespace NeuronQuant.Evaluation;

/// <summary>Where an endpoint is and how it is asked.</summary>
/// <param name="Address">"http://host:8000", or the same with /v1 or /v1/completions</param>
/// <param name="Model">the model's name, as the server knows it</param>
public sealed record CompletionsOptions(string Address, string Model)
{
    /// <summary>Tokens that prompt and answer may have together, as the server was started.</summary>
    public int MaxContext { get; init; } = 4096;

    /// <summary>Requests under way at once; a server with continuous batching wants as many as its batch.</summary>
    public int Concurrency { get; init; } = 8;

    /// <summary>How often a request is sent again after 429, 5xx, a broken connection or a timeout.</summary>
    public int Retries { get; init; } = 5;

    /// <summary>The wait before the first retry; it doubles with each, up to a minute. A Retry-After of the server goes before.</summary>
    public TimeSpan FirstDelay { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The time one request may take.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Sent as a bearer token; never part of a message or a record.</summary>
    public string? Key { get; init; }

    /// <summary>Text to ids as the served model does it, with the tokens that begin a text: needed for log-likelihoods only.</summary>
    public Func<string, int[]>? Encode { get; init; }

    /// <summary>The completions URL.</summary>
    internal Uri Url
    {
        get
        {
            string address = Address.TrimEnd('/');
            string full = address.EndsWith("/completions", StringComparison.Ordinal) ? address
                : address.EndsWith("/v1", StringComparison.Ordinal) ? address + "/completions" : address + "/v1/completions";
            return Uri.TryCreate(full, UriKind.Absolute, out var url) && url.Scheme is "http" or "https"
                ? url
                : throw new EvaluationException(EvaluationFailure.EndpointRefused, Address, "no URL", "http://host:port", "Correct the address.");
        }
    }

    /// <summary>Key left out, since records of options are printed.</summary>
    public override string ToString() => FormattableString.Invariant($"{Model} at {Address}, {Concurrency} at once, {Retries} retries");
}
