using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using NeuronQuant.Evaluation;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>The client against a server on the loopback address that answers as each test says.</summary>
public class CompletionsEndpointTests
{
    private static readonly GenerationSettings Settings = new(["Question:"], 16);

    [Fact]
    public async Task PromptsAreSentAndAnsweredInOrder()
    {
        using var server = new EndpointServer((request, _) => (200, Text("<" + (string)request["prompt"]! + ">Question: more")));
        using var endpoint = server.Endpoint(options => options with { Key = "secret" });
        string[] prompts = [.. Enumerable.Range(0, 20).Select(i => i.ToString(CultureInfo.InvariantCulture))];
        var answers = await endpoint.Generate(prompts, Settings);
        Assert.Equal(prompts.Select(prompt => "<" + prompt + ">"), answers.Select(answer => answer.Text));
        var sent = server.Requests.First();
        Assert.Equal("m", (string)sent.Body["model"]!);
        Assert.Equal(16, (int)sent.Body["max_tokens"]!);
        Assert.Equal(0, (int)sent.Body["temperature"]!);
        Assert.Equal(["Question:"], sent.Body["stop"]!.AsArray().Select(stop => (string)stop!));
        Assert.Equal("/v1/completions", sent.Path);
        Assert.Equal("Bearer secret", sent.Authorization);
    }

    [Theory]
    [InlineData(429)]
    [InlineData(500)]
    [InlineData(503)]
    public async Task PassingFailuresAreTriedAgain(int status)
    {
        using var server = new EndpointServer((_, count) => count <= 2 ? (status, "busy") : (200, Text("ok", "length")));
        using var endpoint = server.Endpoint();
        var answer = Assert.Single(await endpoint.Generate(["a"], Settings));
        Assert.Equal(new Generation("ok", true), answer);
        Assert.Equal(3, server.Requests.Count);
    }

    [Fact]
    public async Task LastingFailuresEnd()
    {
        using var server = new EndpointServer((_, _) => (500, "the device is gone"));
        using var endpoint = server.Endpoint(options => options with { Retries = 2 });
        var error = await Assert.ThrowsAsync<EvaluationException>(() => endpoint.Generate(["a"], Settings));
        Assert.Equal(EvaluationFailure.EndpointFailed, error.Failure);
        Assert.Contains("the device is gone", error.Message, StringComparison.Ordinal);
        Assert.Contains("3 attempts", error.Message, StringComparison.Ordinal);
        Assert.Equal(3, server.Requests.Count);
    }

    [Theory]
    [InlineData(400, "context is too long", EvaluationFailure.EndpointRefused)]
    [InlineData(404, "no such model", EvaluationFailure.EndpointRefused)]
    [InlineData(200, "<html>", EvaluationFailure.EndpointAnswer)]
    [InlineData(200, "{}", EvaluationFailure.EndpointAnswer)]
    [InlineData(200, """{"choices":[{"text":7}]}""", EvaluationFailure.EndpointAnswer)]
    public async Task RefusalsAreNotRepeated(int status, string answer, EvaluationFailure expected)
    {
        using var server = new EndpointServer((_, _) => (status, answer));
        using var endpoint = server.Endpoint();
        var error = await Assert.ThrowsAsync<EvaluationException>(() => endpoint.Generate(["a"], Settings));
        Assert.Equal(expected, error.Failure);
        Assert.Single(server.Requests);
    }

    [Theory]
    [InlineData("""{"error":{"message":"the model is still loading","code":503}}""", "the model is still loading")]
    [InlineData("""{"error":"out of device memory"}""", "out of device memory")]
    [InlineData("""{"object":"error","message":"this model's maximum context length is 128"}""", "maximum context length is 128")]
    public async Task AnErrorInsideStatus200IsQuoted(string answer, string quoted)
    {
        using var server = new EndpointServer((_, _) => (200, answer));
        using var endpoint = server.Endpoint();
        var error = await Assert.ThrowsAsync<EvaluationException>(() => endpoint.Generate(["a"], Settings));
        Assert.Equal(EvaluationFailure.EndpointRefused, error.Failure);
        Assert.Contains(quoted, error.Message, StringComparison.Ordinal);
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task ANullErrorIsNone()
    {
        using var server = new EndpointServer((_, _) => (200, """{"error":null,"choices":[{"text":"ok"}]}"""));
        using var endpoint = server.Endpoint();
        Assert.Equal("ok", Assert.Single(await endpoint.Generate(["a"], Settings)).Text);
    }

    [Theory]
    [InlineData("2", 1.9)]
    [InlineData("Wed, 21 Oct 2015 07:28:02 GMT", 1.9)] // two seconds after the server's own clock
    [InlineData("Wed, 21 Oct 2015 07:27:00 GMT", 0)]
    public async Task RetryAfterIsHonoured(string after, double least)
    {
        using var server = new EndpointServer((_, count) => count == 1 ? (503, "busy") : (200, Text("ok")))
        {
            Date = "Wed, 21 Oct 2015 07:28:00 GMT",
            RetryAfter = after,
        };
        using var endpoint = server.Endpoint(options => options with { FirstDelay = TimeSpan.FromSeconds(least > 0 ? 0.001 : 15) });
        var watch = Stopwatch.StartNew();
        Assert.Equal("ok", Assert.Single(await endpoint.Generate(["a"], Settings)).Text);
        Assert.InRange(watch.Elapsed.TotalSeconds, least, 14); // Below the first delay of a date that has passed.
    }

    [Fact]
    public async Task ATimeoutIsTriedAgainAndNamed()
    {
        using var server = new EndpointServer((_, _) => (0, "")); // never answers
        using var endpoint = server.Endpoint(options => options with { Retries = 1, Timeout = TimeSpan.FromMilliseconds(200) });
        var error = await Assert.ThrowsAsync<EvaluationException>(() => endpoint.Generate(["a"], Settings));
        Assert.Equal(EvaluationFailure.EndpointFailed, error.Failure);
        Assert.Contains("no answer within 0.2 s", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ADeadAddressIsNamed()
    {
        using var endpoint = new CompletionsEndpoint(new CompletionsOptions($"http://127.0.0.1:{EndpointServer.FreePort()}/v1", "m") { Retries = 0 });
        var error = await Assert.ThrowsAsync<EvaluationException>(() => endpoint.Generate(["a"], Settings));
        Assert.Equal(EvaluationFailure.EndpointFailed, error.Failure);
        Assert.Equal(EvaluationFailure.EndpointRefused, Assert.Throws<EvaluationException>(() => new CompletionsEndpoint(new("nonsense", "m"))).Failure);
    }

    [Fact]
    public async Task CancellationStopsTheWait()
    {
        using var server = new EndpointServer((_, _) => (0, ""));
        using var endpoint = server.Endpoint();
        using var source = new CancellationTokenSource(100);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => endpoint.Generate(["a"], Settings, source.Token));
    }

    [Fact]
    public async Task LogLikelihoodsAreThoseOfTheContinuation()
    {
        // One id a character, 0 before: context 0 a b, continuation " c"; the server adds the token it generated.
        using var server = new EndpointServer((request, _) =>
        {
            Assert.True((bool)request["echo"]!);
            Assert.Equal([0, 'a', 'b', ' ', 'c'], request["prompt"]!.AsArray().Select(id => (int)id!));
            return (200, """
                {"choices":[{"index":0,"text":"","logprobs":{"token_logprobs":[null,-9,-8,-0.5,-0.25,-7],
                "top_logprobs":[null,{"x":-1},{"x":-1},{"s":-0.5},{"c":-0.25,"d":-2},{"x":-1}]}}]}
                """);
        });
        Func<string, int[]> encode = text => [0, .. text.Select(c => (int)c)];
        using var endpoint = server.Endpoint(options => options with { Encode = encode });
        Assert.Equal(new Likelihood(-0.75, 2, true), Assert.Single(await endpoint.Score([new Continuation("ab", " c")])));
        using var without = server.Endpoint();
        Assert.Equal(EvaluationFailure.NotOffered, (await Assert.ThrowsAsync<EvaluationException>(() => without.Score([new("a", "b")]))).Failure);
    }

    [Fact]
    public async Task AServerWithoutEchoIsNamed()
    {
        using var server = new EndpointServer((_, _) => (200, Text("x")));
        using var endpoint = server.Endpoint(options => options with { Encode = text => [0, .. text.Select(c => (int)c)] });
        var error = await Assert.ThrowsAsync<EvaluationException>(() => endpoint.Score([new("a", "b")]));
        Assert.Equal(EvaluationFailure.EndpointAnswer, error.Failure);
        Assert.Contains("echo", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ATaskRunsOverTheEndpoint()
    {
        var task = WordProblemTask.Demo([new("One?", "1.\n#### 1"), new("Two?", "2.\n#### 2")]);
        using var server = new EndpointServer((request, _) => (200, Text(((string)request["prompt"]!).Contains("One") ? "#### 1" : "#### 3")));
        using var endpoint = server.Endpoint();
        Assert.Equal(1, (await Evaluator.Run(task, endpoint)).Main.Right);
    }

    private static string Text(string text, string reason = "stop") =>
        new JsonObject { ["choices"] = new JsonArray(new JsonObject { ["index"] = 0, ["text"] = text, ["finish_reason"] = reason }) }.ToJsonString();
}
