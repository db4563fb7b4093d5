using System.Text.Json;
using System.Text.Json.Nodes;
using NeuronQuant.CommandLine.Notebooks;

namespace NeuronQuant.CommandLine.Kernel;

/// <summary>The notebook engine behind standard streams: one session, driven line by line. It is what a Jupyter kernel talks to.</summary>
/// <remarks>
/// Each line in is a JSON object with "id" and "op": execute (code), interrupt, complete (code, cursor), inspect (code, cursor), is_complete
/// (code). Each line out is a record separator (0x1E) and a JSON object with the "id" it answers: any number of {"output": nbformat output}
/// and then one {"done": …}. A line that is no request is answered with an error under the id null, and costs nothing else. Text without that
/// mark is what native code wrote past the console; the caller shows it as it is. Cursors count UTF-16 units. Cells run one after the other;
/// an interrupt means the one that runs. The process ends with its input, whatever a cell is doing; and after a cell that would not stop,
/// since code in .NET cannot be stopped from outside: "left_behind" then tells the caller to start another.
/// </remarks>
internal sealed class KernelServer
{
    /// <summary>Begins each line of the protocol.</summary>
    public const char Mark = '\x1e';

    private static readonly JsonSerializerOptions Reading = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    private readonly TextWriter _output;
    private readonly Lock _writing = new();
    private readonly TaskCompletionSource _leftBehind = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Session _session;
    private readonly CellAssistance _assistance;
    private CancellationTokenSource? _running;
    private JsonNode? _id;

    public KernelServer(string folder, TextWriter output)
    {
        _output = output;
        _session = new Session(folder, cellOutput => Send(_id, "output", cellOutput));
        _assistance = new CellAssistance(_session);
    }

    /// <summary>Serves until the input ends or a cell had to be left behind.</summary>
    public async Task Run(TextReader input)
    {
        var work = Task.CompletedTask;
        while (true)
        {
            var line = ReadLine(input);
            if (await Task.WhenAny(line, _leftBehind.Task) != line || await line is not { } text) return;
            if (Read(text) is not { } request) continue;
            // The callbacks of a cell's cancellation are the cell's code: they must not hold up the next line, nor end the server.
            if (request.Op == "interrupt") _ = _running?.CancelAsync();
            else if (request.Op == "execute") work = ExecuteAfter(work, request);
            else Send(request.Id, "done", Answer(request));
        }
    }

    // Console's reader is synchronized and would block the thread that asks.
    private static Task<string?> ReadLine(TextReader input) => Task.Run(input.ReadLine);

    private Request? Read(string line)
    {
        try
        {
            if (JsonSerializer.Deserialize<Request>(line, Reading) is { Op.Length: > 0 } request) return request;
            Send(null, "done", Refusal("The line has no \"op\"."));
        }
        catch (JsonException exception)
        {
            Send(null, "done", Refusal($"The line is no request: {exception.Message}"));
        }
        return null;
    }

    private async Task ExecuteAfter(Task work, Request request)
    {
        await work;
        if (_leftBehind.Task.IsCompleted) return;
        (_running, _id) = (new CancellationTokenSource(), request.Id);
        var (error, isLeftBehind) = await Execute(request.Code ?? "", _running.Token);
        _running = null;
        var content = error is null ? null : CellOutputs.Describe(error);
        content?.Remove("output_type");
        Send(request.Id, "done", new JsonObject { ["execution_count"] = _session.Count, ["error"] = content, ["left_behind"] = isLeftBehind });
        if (isLeftBehind) _leftBehind.SetResult();
    }

    private async Task<(CellError? Error, bool LeftBehind)> Execute(string code, CancellationToken cancellation)
    {
        try
        {
            var result = await _session.RunAsync(code, null, cancellation);
            return (result.Error, result.LeftBehind);
        }
        catch (Exception exception)
        {
            // The stage could not be set: the notebook's folder is gone, say. The reader sees it where a cell's own error would stand.
            var error = CellError.Engine(exception.GetType().Name, exception.Message);
            Send(_id, "output", CellOutputs.Describe(error));
            return (error, false);
        }
    }

    private JsonObject Answer(Request request)
    {
        var (code, cursor) = (request.Code ?? "", request.Cursor);
        try
        {
            return request.Op switch
            {
                "complete" => _assistance.Complete(code, cursor),
                "inspect" => _assistance.Inspect(code, cursor),
                "is_complete" => new JsonObject { ["status"] = CellAssistance.Status(code) },
                _ => Refusal($"'{request.Op}' is no operation: execute, interrupt, complete, inspect or is_complete."),
            };
        }
        catch (Exception exception)
        {
            return Refusal($"{request.Op}: {exception.Message}"); // The compiler stumbled over half a cell: no help this time, and the session lives.
        }
    }

    private static JsonObject Refusal(string message) => new() { ["error"] = message };

    private void Send(JsonNode? id, string kind, JsonObject content)
    {
        var line = Mark + new JsonObject { ["id"] = id?.DeepClone(), [kind] = content }.ToJsonString();
        lock (_writing)
        {
            _output.WriteLine(line);
            _output.Flush();
        }
    }

    private sealed record Request(JsonNode? Id, string? Op, string? Code, int Cursor);
}
