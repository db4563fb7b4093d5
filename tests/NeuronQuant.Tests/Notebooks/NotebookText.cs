using System.Text.Json.Nodes;
using NeuronQuant.CommandLine.Notebooks;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>Builds tiny notebooks for the tests of this folder, which run one after the other because a cell owns the process's console.</summary>
internal static class NotebookText
{
    public static Notebook Of(params string[] codeCells) => Make("test.ipynb", [.. codeCells.Select(code => ("code", code, (string?)null))]);

    public static Notebook Make(string name, params (string Type, string Source, string? Tag)[] cells)
    {
        var list = new JsonArray();
        for (var i = 0; i < cells.Length; i++)
        {
            var metadata = new JsonObject { ["dotnet_interactive"] = new JsonObject { ["language"] = "csharp" } };
            if (cells[i].Tag is { } tag) metadata["tags"] = new JsonArray(tag);
            var cell = new JsonObject { ["cell_type"] = cells[i].Type };
            if (cells[i].Type == "code") cell["execution_count"] = null;
            cell["id"] = $"c{i + 1}";
            cell["metadata"] = metadata;
            if (cells[i].Type == "code") cell["outputs"] = new JsonArray();
            cell["source"] = Cell.Split(cells[i].Source);
            list.Add(cell);
        }
        var kernel = new JsonObject { ["display_name"] = ".NET (C#)", ["language"] = "C#", ["name"] = ".net-csharp" };
        var json = new JsonObject
        {
            ["cells"] = list,
            ["metadata"] = new JsonObject { ["kernelspec"] = kernel },
            ["nbformat"] = 4,
            ["nbformat_minor"] = 5,
        };
        return Notebook.Parse(json.ToJsonString(), name);
    }

    /// <summary>What an output shows as plain text, a stream's text, or an error's name and message.</summary>
    public static string Plain(JsonNode? output) => (string?)output!["output_type"] switch
    {
        "stream" => Cell.Join(output["text"]),
        "error" => $"{output["ename"]}: {output["evalue"]}",
        _ => Cell.Join(output["data"]!["text/plain"]),
    };
}
