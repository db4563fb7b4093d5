using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using NeuronQuant.Evaluation;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>Answers each request with what a function says of it and of how many there were; status 0 never answers.</summary>
internal sealed class EndpointServer : IDisposable
{
    private readonly HttpListener _listener = new();
    private readonly Func<JsonObject, int, (int Status, string Body)> _answer;
    private readonly string _address;
    private int _count;

    public EndpointServer(Func<JsonObject, int, (int, string)> answer)
    {
        _answer = answer;
        _address = $"http://127.0.0.1:{FreePort()}/";
        _listener.Prefixes.Add(_address);
        _listener.Start();
        _ = Listen();
    }

    public System.Collections.Concurrent.ConcurrentQueue<(string Path, string? Authorization, JsonObject Body)> Requests { get; } = new();

    /// <summary>Headers of each answer; null for the listener's own.</summary>
    public string? Date { get; init; }

    public string? RetryAfter { get; init; }

    public CompletionsEndpoint Endpoint(Func<CompletionsOptions, CompletionsOptions>? change = null)
    {
        var options = new CompletionsOptions(_address, "m") { FirstDelay = TimeSpan.FromMilliseconds(1), Timeout = TimeSpan.FromSeconds(20) };
        return new CompletionsEndpoint(change is null ? options : change(options));
    }

    public static int FreePort()
    {
        using var socket = new TcpListener(IPAddress.Loopback, 0);
        socket.Start();
        return ((IPEndPoint)socket.LocalEndpoint).Port;
    }

    public void Dispose() => _listener.Abort();

    private async Task Listen()
    {
        while (_listener.IsListening)
        {
            HttpListenerContext context;
            try
            {
                context = await _listener.GetContextAsync();
            }
            catch (Exception error) when (error is HttpListenerException or ObjectDisposedException)
            {
                return;
            }
            _ = Answer(context);
        }
    }

    private async Task Answer(HttpListenerContext context)
    {
        using var reader = new StreamReader(context.Request.InputStream, Encoding.UTF8);
        var body = JsonNode.Parse(await reader.ReadToEndAsync())!.AsObject();
        Requests.Enqueue((context.Request.Url!.AbsolutePath, context.Request.Headers["Authorization"], body));
        int status;
        string text;
        try
        {
            (status, text) = _answer(body, Interlocked.Increment(ref _count));
        }
        catch (Exception error)
        {
            (status, text) = (400, error.Message); // An assertion of the test: shown by the client's error.
        }
        if (status == 0) return;
        context.Response.StatusCode = status;
        if (Date is not null) context.Response.Headers["Date"] = Date;
        if (RetryAfter is not null) context.Response.Headers["Retry-After"] = RetryAfter;
        await context.Response.OutputStream.WriteAsync(Encoding.UTF8.GetBytes(text));
        context.Response.Close();
    }
}
