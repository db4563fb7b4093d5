using System.Text.Json.Nodes;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Collects what one cell shows, in the order in which it shows it.</summary>
/// <remarks>
/// The collector travels with the cell's own flow of execution, so text that another thread of the program writes at the same time does
/// not become an output of the cell, while text from tasks that the cell started does. After the cell ended, or was given up, it is
/// closed and later writes are dropped.
/// </remarks>
internal sealed class CellOutputs
{
    private static readonly AsyncLocal<CellOutputs?> Flow = new();
    private readonly Lock _gate = new();
    private readonly JsonArray _outputs = [];
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
            if (_outputs.LastOrDefault() is JsonObject last && (string?)last["output_type"] == "stream" && (string?)last["name"] == name)
                last["text"] = (string?)last["text"] + text;
            else _outputs.Add(new JsonObject { ["name"] = name, ["output_type"] = "stream", ["text"] = text });
        }
    }

    /// <summary>Adds a shown value and returns its place, for an update.</summary>
    public JsonObject AddDisplay(JsonObject data)
    {
        var output = new JsonObject { ["data"] = data, ["metadata"] = new JsonObject(), ["output_type"] = "display_data" };
        lock (_gate)
            if (!_isClosed) _outputs.Add(output);
        return output;
    }

    /// <summary>Puts another value where an earlier one was shown.</summary>
    public void Replace(JsonObject output, JsonObject data)
    {
        lock (_gate)
            if (!_isClosed) output["data"] = data;
    }

    /// <summary>Adds the value of the cell's last expression.</summary>
    public void AddResult(int executionCount, JsonObject data)
    {
        lock (_gate)
            _outputs.Add(new JsonObject
            {
                ["data"] = data,
                ["execution_count"] = executionCount,
                ["metadata"] = new JsonObject(),
                ["output_type"] = "execute_result",
            });
    }

    /// <summary>Adds what went wrong.</summary>
    public void AddError(CellError error)
    {
        lock (_gate)
            _outputs.Add(new JsonObject
            {
                ["ename"] = error.Name,
                ["evalue"] = error.Message,
                ["output_type"] = "error",
                ["traceback"] = new JsonArray([.. error.Trace.Select(line => (JsonNode)line)]),
            });
    }

    /// <summary>Ends the collection and returns it, streams split into lines.</summary>
    public JsonArray Close()
    {
        lock (_gate)
        {
            _isClosed = true;
            var outputs = (JsonArray)_outputs.DeepClone();
            foreach (var output in outputs.OfType<JsonObject>().Where(output => (string?)output["output_type"] == "stream"))
                output["text"] = Cell.Split((string)output["text"]!);
            return outputs;
        }
    }
}
