using System.Text.Json.Nodes;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>One cell of a notebook: a view of its JSON, so that what this program does not know stays as it was.</summary>
public sealed class Cell
{
    private const string ParametersTag = "parameters";
    private const string InjectedTag = "injected-parameters";

    internal Cell(JsonObject json) => Json = json;

    /// <summary>The cell as in the file.</summary>
    public JsonObject Json { get; }

    /// <summary>Unique in its notebook.</summary>
    public string Id => (string?)Json["id"] ?? "";

    /// <summary>"code", "markdown" or "raw".</summary>
    public string Type => (string?)Json["cell_type"] ?? "";

    /// <summary>Whether it is run.</summary>
    public bool IsCode => Type == "code";

    /// <summary>Its text, lines joined.</summary>
    public string Source => Join(Json["source"]);

    /// <summary>Names that other programs give it, such as "parameters".</summary>
    public IReadOnlyList<string> Tags => [.. (Json["metadata"]?["tags"] as JsonArray ?? []).Select(tag => (string?)tag ?? "")];

    /// <summary>Whether it declares the notebook's parameters.</summary>
    public bool IsParameters => IsCode && Tags.Contains(ParametersTag);

    /// <summary>Whether a run put it there to set parameters.</summary>
    public bool IsInjected => IsCode && Tags.Contains(InjectedTag);

    /// <summary>Outputs in nbformat.</summary>
    public JsonArray Outputs => Json["outputs"] as JsonArray ?? [];

    /// <summary>A new code cell that sets parameters, tagged as papermill tags it.</summary>
    public static Cell Injected(string source) => new(new JsonObject
    {
        ["cell_type"] = "code",
        ["execution_count"] = null,
        ["id"] = InjectedTag,
        ["metadata"] = new JsonObject
        {
            ["dotnet_interactive"] = new JsonObject { ["language"] = "csharp" },
            ["polyglot_notebook"] = new JsonObject { ["kernelName"] = "csharp" },
            ["tags"] = new JsonArray(InjectedTag),
        },
        ["outputs"] = new JsonArray(),
        ["source"] = Split(source),
    });

    /// <summary>Sets what a run produced; null and nothing for a cell that was not run.</summary>
    public void SetOutputs(int? executionCount, JsonArray outputs)
    {
        Json["execution_count"] = executionCount;
        Json["outputs"] = outputs;
    }

    /// <summary>nbformat's text: a string, or lines that keep their ends.</summary>
    public static string Join(JsonNode? text) => text switch
    {
        JsonArray lines => string.Concat(lines.Select(line => (string?)line)),
        JsonValue value when value.TryGetValue<string>(out var whole) => whole,
        _ => "",
    };

    /// <summary>Lines that keep their ends, which is how Jupyter writes text so that differences are line by line.</summary>
    public static JsonArray Split(string text)
    {
        var lines = new JsonArray();
        for (var start = 0; start < text.Length;)
        {
            var end = text.IndexOf('\n', start);
            var next = end < 0 ? text.Length : end + 1;
            lines.Add(text[start..next]);
            start = next;
        }
        return lines;
    }
}
