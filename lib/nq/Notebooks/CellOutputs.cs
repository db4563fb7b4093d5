using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.DotNet.Interactive.Events;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Collects what one cell shows, from the kernel's events, as nbformat's outputs.</summary>
/// <remarks>
/// An update changes the output that it belongs to. Mime types that end in "json" are kept as JSON, as Jupyter keeps them, everything else as
/// lines. After the cell ended, or was given up, the collection is closed and later events are dropped.
/// </remarks>
internal sealed class CellOutputs
{
    private readonly Lock _gate = new();
    private readonly JsonArray _outputs = [];
    private readonly Dictionary<string, JsonObject> _displays = [];
    private readonly StringBuilder _stream = new();
    private string? _streamName;
    private bool _isClosed;

    /// <summary>Takes an event of the running cell.</summary>
    /// <param name="shown">a value, an update or text of the console</param>
    /// <param name="executionCount">the cell's number</param>
    public void Add(DisplayEvent shown, int executionCount)
    {
        lock (_gate)
        {
            if (_isClosed || shown.Value is ShownValue) return; // a cell that ends with display(x) has shown x already
            switch (shown)
            {
                case StandardOutputValueProduced: Append("stdout", Text(shown)); break;
                case StandardErrorValueProduced: Append("stderr", Text(shown)); break;
                case DisplayedValueUpdated update when update.ValueId is { } id && _displays.TryGetValue(id, out var place): place["data"] = Data(update); break;
                case ReturnValueProduced: Append(new JsonObject { ["data"] = Data(shown), ["execution_count"] = executionCount, ["metadata"] = new JsonObject(), ["output_type"] = "execute_result" }); break;
                case DisplayedValueProduced or DisplayedValueUpdated:
                    var output = new JsonObject { ["data"] = Data(shown), ["metadata"] = new JsonObject(), ["output_type"] = "display_data" };
                    Append(output);
                    if (shown.ValueId is { } shownId) _displays[shownId] = output;
                    break;
            }
        }
    }

    /// <summary>Ends the collection and returns it.</summary>
    /// <param name="error">what went wrong; null when nothing did</param>
    public JsonArray Close(CellError? error)
    {
        lock (_gate)
        {
            EndStream();
            if (error is not null) _outputs.Add((JsonNode)error.ToOutput());
            _isClosed = true;
            return (JsonArray)_outputs.DeepClone();
        }
    }

    private static string Text(DisplayEvent shown) => shown.FormattedValues.FirstOrDefault()?.Value ?? "";

    private static JsonObject Data(DisplayEvent shown)
    {
        var data = new JsonObject();
        foreach (var formatted in shown.FormattedValues.OrderBy(value => value.MimeType, StringComparer.Ordinal))
            data[formatted.MimeType] = formatted.MimeType.EndsWith("json", StringComparison.Ordinal) ? JsonNode.Parse(formatted.Value) : Cell.Split(formatted.Value.ReplaceLineEndings("\n"));
        if (data.Count == 0) data["text/plain"] = Cell.Split(Convert.ToString(shown.Value, CultureInfo.InvariantCulture) ?? "");
        return data;
    }

    private void Append(JsonObject output)
    {
        EndStream();
        _outputs.Add((JsonNode)output);
    }

    // A cell may print a line a thousand times over: joining texts one by one would copy all that stands, each time.
    private void Append(string name, string text)
    {
        if (text.Length == 0) return;
        if (_streamName != name) EndStream();
        _streamName = name;
        _stream.Append(text.ReplaceLineEndings("\n"));
    }

    private void EndStream()
    {
        if (_streamName is null) return;
        _outputs.Add((JsonNode)new JsonObject { ["name"] = _streamName, ["output_type"] = "stream", ["text"] = Cell.Split(_stream.ToString()) });
        (_streamName, _) = (null, _stream.Clear());
    }
}
