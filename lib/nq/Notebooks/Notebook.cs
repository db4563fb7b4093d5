using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>A Jupyter notebook (.ipynb), nbformat 4.5.</summary>
/// <remarks>
/// The JSON is kept and edited in place, never rebuilt from a model of our own: metadata that another program wrote must survive. It is
/// written as Jupyter writes it, one space of indent and a newline at the end, so that opening and saving changes nothing but the outputs.
/// Notebooks before 4.5 have no cell identifiers; they are given "cell-1", "cell-2"... and saved as 4.5.
/// </remarks>
public sealed class Notebook
{
    private static readonly JsonSerializerOptions Writing = new()
    {
        WriteIndented = true,
        IndentCharacter = ' ',
        IndentSize = 1,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private readonly JsonObject _json;

    private Notebook(JsonObject json, string name)
    {
        (_json, Name) = (json, name);
        Cells = [.. ((JsonArray)json["cells"]!).Select(cell => new Cell((JsonObject)cell!))];
    }

    /// <summary>File name, for messages.</summary>
    public string Name { get; }

    /// <summary>Cells in order.</summary>
    public IReadOnlyList<Cell> Cells { get; private set; }

    /// <summary>The first heading of the first markdown cell that has one, else the file's name.</summary>
    public string Title => Cells.Where(cell => cell.Type == "markdown").SelectMany(cell => cell.Source.Split('\n'))
        .FirstOrDefault(line => line.StartsWith("# ", StringComparison.Ordinal))?[2..].Trim() ?? Path.GetFileNameWithoutExtension(Name);

    /// <summary>Reads a file.</summary>
    /// <exception cref="NotebookException">It is absent, no JSON, or no notebook of format 4.</exception>
    public static Notebook Load(string path)
    {
        if (!File.Exists(path)) throw new NotebookException($"There is no notebook {path}.");
        return Parse(File.ReadAllText(path), Path.GetFileName(path));
    }

    /// <summary>Reads a notebook's text.</summary>
    /// <exception cref="NotebookException">It is no JSON, or no notebook of format 4.</exception>
    public static Notebook Parse(string text, string name)
    {
        JsonObject? json;
        try
        {
            json = JsonNode.Parse(text) as JsonObject;
        }
        catch (JsonException exception)
        {
            throw new NotebookException($"{name} is not JSON: {exception.Message}", exception);
        }
        if (json is null || (int?)json["nbformat"] != 4 || json["cells"] is not JsonArray cells || cells.Any(cell => cell is not JsonObject))
            throw new NotebookException($"{name} is not a notebook of nbformat 4: expected \"nbformat\": 4 and a list \"cells\".");
        GiveIdentifiers(json, cells);
        return new Notebook(json, name);
    }

    /// <summary>A notebook that shares nothing with this one.</summary>
    public Notebook Clone() => new((JsonObject)_json.DeepClone(), Name);

    /// <summary>Puts a cell after another.</summary>
    public void InsertAfter(Cell place, Cell cell)
    {
        var cells = (JsonArray)_json["cells"]!;
        cells.Insert(cells.IndexOf(place.Json) + 1, cell.Json);
        var list = Cells.ToList();
        list.Insert(list.IndexOf(place) + 1, cell);
        Cells = list;
    }

    /// <summary>Takes a cell out.</summary>
    public void Remove(Cell cell)
    {
        ((JsonArray)_json["cells"]!).Remove(cell.Json);
        Cells = [.. Cells.Where(other => other != cell)];
    }

    /// <summary>Writes the file through a temporary one, so that a reader never meets half of it.</summary>
    public void Save(string path) => AtomicFile.Write(path, ToJson());

    /// <summary>The notebook's text.</summary>
    public string ToJson() => _json.ToJsonString(Writing) + "\n";

    private static void GiveIdentifiers(JsonObject json, JsonArray cells)
    {
        for (var i = 0; i < cells.Count; i++)
            if (cells[i]!["id"] is null) cells[i]!["id"] = $"cell-{i + 1}";
        if (((int?)json["nbformat_minor"] ?? 0) < 5) json["nbformat_minor"] = 5;
    }
}
