using System.Text;
using System.Text.Json.Nodes;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Collects what one cell shows, in the order in which it shows it.</summary>
/// <remarks>
/// The collector travels with the cell's own flow of execution, so text that another thread of the program writes at the same time does
/// not become an output of the cell, while text from tasks that the cell started does. After the cell ended, or was given up, it is
/// closed and later writes are dropped. A host that shows outputs while the cell runs is told each of them as it comes.
/// </remarks>
/// <param name="live">Told each output, in nbformat; a shown value has a "display_id", and an update of it the type "update_display_data".</param>
internal sealed class CellOutputs(Action<JsonObject>? live = null)
{
    private static readonly AsyncLocal<CellOutputs?> Flow = new();
    private readonly Lock _gate = new();
    private readonly JsonArray _outputs = [];
    private readonly List<JsonObject> _displays = [];
    private readonly StringBuilder _stream = new();
    private string? _streamName;
    private bool _isClosed;

    /// <summary>The collector of the cell that is running here, if any.</summary>
    public static CellOutputs? Current
    {
        get => Flow.Value;
        set => Flow.Value = value;
    }

    /// <summary>Adds text of "stdout" or "stderr"; text that follows text of the same stream joins it.</summary>
    public void AddStream(string name, string text)
    {
        lock (_gate)
        {
            if (_isClosed || text.Length == 0) return;
            live?.Invoke(new JsonObject { ["name"] = name, ["output_type"] = "stream", ["text"] = text });
            if (_streamName != name)
            {
                EndStream();
                _streamName = name;
            }
            _stream.Append(text);
        }
    }

    /// <summary>Adds a shown value and returns its place, for an update.</summary>
    public JsonObject AddDisplay(JsonObject data)
    {
        var output = new JsonObject { ["data"] = data, ["metadata"] = new JsonObject(), ["output_type"] = "display_data" };
        lock (_gate)
            if (!_isClosed)
            {
                EndStream();
                _outputs.Add(output);
                _displays.Add(output);
                Tell(output, "display_data");
            }
        return output;
    }

    /// <summary>Puts another value where an earlier one was shown.</summary>
    public void Replace(JsonObject output, JsonObject data)
    {
        lock (_gate)
            if (!_isClosed)
            {
                output["data"] = data;
                Tell(output, "update_display_data");
            }
    }

    /// <summary>Adds the value of the cell's last expression.</summary>
    public void AddResult(int executionCount, JsonObject data) => Add(new JsonObject
    {
        ["data"] = data,
        ["execution_count"] = executionCount,
        ["metadata"] = new JsonObject(),
        ["output_type"] = "execute_result",
    });

    /// <summary>Adds what went wrong.</summary>
    public void AddError(CellError error) => Add(Describe(error));

    /// <summary>An error as an output.</summary>
    public static JsonObject Describe(CellError error) => new()
    {
        ["ename"] = error.Name,
        ["evalue"] = error.Message,
        ["output_type"] = "error",
        ["traceback"] = new JsonArray([.. error.Trace.Select(line => (JsonNode)line)]),
    };

    /// <summary>Ends the collection and returns it, streams split into lines.</summary>
    public JsonArray Close()
    {
        lock (_gate)
        {
            EndStream();
            _isClosed = true;
            return (JsonArray)_outputs.DeepClone();
        }
    }

    private void Add(JsonObject output)
    {
        lock (_gate)
        {
            EndStream();
            _outputs.Add(output);
            live?.Invoke((JsonObject)output.DeepClone());
        }
    }

    // A cell may print a line a thousand times over: joining texts one by one would copy all that stands, each time.
    private void EndStream()
    {
        if (_streamName is null) return;
        _outputs.Add(new JsonObject { ["name"] = _streamName, ["output_type"] = "stream", ["text"] = Cell.Split(_stream.ToString()) });
        (_streamName, _) = (null, _stream.Clear());
    }

    private void Tell(JsonObject output, string type)
    {
        if (live is null) return;
        var told = (JsonObject)output.DeepClone();
        (told["output_type"], told["display_id"]) = (type, _displays.IndexOf(output));
        live(told);
    }
}
