using System.Text.Json.Nodes;
using NeuronQuant.CommandLine.Notebooks;

namespace NeuronQuant.CommandLine.Kernel;

/// <summary>The notebook engine behind standard streams: one session, driven line by line. It is what a Jupyter kernel talks to.</summary>
/// <remarks>
/// Each line in is a JSON object with "id" and "op": execute (code), interrupt, complete (code, cursor), inspect (code, cursor), is_complete
/// (code). Each line out is a record separator (0x1E) and a JSON object with the "id" it answers: any number of {"output": nbformat output}
/// and then one {"done": …}. Text without that mark is what native code wrote past the console; the caller shows it as it is.
/// Cursors count UTF-16 units. The process ends with its input, whatever a cell is doing; and after a cell that would not stop, since code
/// in .NET cannot be stopped from outside: "left_behind" then tells the caller to start another.
/// </remarks>
internal sealed class KernelServer
{
    /// <summary>Begins each line of the protocol.</summary>
    public const char Mark = '\x1e';

    private readonly TextWriter _output;
    private readonly Lock _writing = new();
    private readonly Session _session;
    private readonly CellAssistance _assistance;
    private CancellationTokenSource? _running;
    private JsonNode? _request;

    public KernelServer(string folder, TextWriter output)
    {
        _output = output;
        _session = new Session(folder, cellOutput => Send(_request, "output", cellOutput));
        _assistance = new CellAssistance(_session);
    }

    /// <summary>Serves until the input ends or a cell had to be left behind.</summary>
    public async Task Run(TextReader input)
    {
        var work = Task.FromResult(false);
        while (true)
        {
            var line = ReadLine(input);
            if (await Task.WhenAny(line, LeftBehind(work)) != line || await line is not { } text) return;
            if (JsonNode.Parse(text) is not JsonObject request) continue;
            switch ((string?)request["op"])
            {
                case "execute":
                    await work;
                    work = Execute(request);
                    break;
                case "interrupt":
                    _running?.Cancel();
                    break;
                case var op:
                    Send(request["id"], "done", Answer(op, (string?)request["code"] ?? "", (int?)request["cursor"] ?? 0));
                    break;
            }
        }
    }

    // Console's reader is synchronized and would block the thread that asks.
    private static Task<string?> ReadLine(TextReader input) => Task.Run(input.ReadLine);

    private static async Task LeftBehind(Task<bool> work)
    {
        if (!await work) await Task.Delay(Timeout.Infinite);
    }

    private async Task<bool> Execute(JsonObject request)
    {
        using var running = _running = new CancellationTokenSource();
        _request = request["id"];
        var result = await _session.RunAsync((string?)request["code"] ?? "", null, running.Token);
        _running = null;
        Send(request["id"], "done", new JsonObject
        {
            ["execution_count"] = _session.Count,
            ["error"] = result.Error is { } error ? new JsonObject
            {
                ["ename"] = error.Name,
                ["evalue"] = error.Message,
                ["traceback"] = new JsonArray([.. error.Trace.Select(line => (JsonNode)line)]),
            } : null,
            ["left_behind"] = result.LeftBehind,
        });
        return result.LeftBehind;
    }

    private JsonObject Answer(string? op, string code, int cursor) => op switch
    {
        "complete" => _assistance.Complete(code, cursor),
        "inspect" => _assistance.Inspect(code, cursor),
        "is_complete" => new JsonObject { ["status"] = CellAssistance.Status(code) },
        _ => new JsonObject { ["error"] = $"'{op}' is no operation: execute, interrupt, complete, inspect or is_complete." },
    };

    private void Send(JsonNode? id, string kind, JsonObject content)
    {
        var line = Mark + new JsonObject { ["id"] = id?.DeepClone(), [kind] = content }.ToJsonString();
        lock (_writing)
        {
            _output.WriteLine(line);
            _output.Flush();
        }
    }
}
