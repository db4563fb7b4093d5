using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Compares the outputs kept in a notebook with those of a run, number by number.</summary>
/// <remarks>
/// Sums of floats differ in the last bits between machines, so numbers are compared with a relative tolerance and everything between them
/// exactly. A text is split into numbers and the rest; two texts agree when they split the same way. Two digits after a point that stand
/// for pixels in an SVG are numbers like any other. JSON outputs (Plotly) say the same as the figure beside them and are not compared.
/// </remarks>
/// <param name="committed">The notebook as kept.</param>
/// <param name="executed">The notebook as run now.</param>
/// <param name="tolerance">Greatest relative difference of two numbers.</param>
internal sealed partial class NotebookComparer(Notebook committed, Notebook executed, double tolerance = 1e-6)
{
    private const int Context = 40;

    /// <summary>The first difference, with its cell; null when there is none.</summary>
    public string? FirstDifference()
    {
        var (old, now) = (Code(committed), Code(executed));
        if (old.Length != now.Length) return $"{committed.Name}: {old.Length} code cells are kept and {now.Length} were run.";
        for (var i = 0; i < old.Length; i++)
        {
            var where = $"{committed.Name}, code cell {i + 1} (id {old[i].Id})";
            if (old[i].Source != now[i].Source) return $"{where}: the sources differ: {Difference(old[i].Source, now[i].Source)}";
            if (old[i].Outputs.Count != now[i].Outputs.Count) return $"{where}: {old[i].Outputs.Count} outputs are kept and {now[i].Outputs.Count} were made.";
            for (var k = 0; k < old[i].Outputs.Count; k++)
                if (Output(old[i].Outputs[k]!, now[i].Outputs[k]!) is { } difference) return $"{where}, output {k + 1}: {difference}";
        }
        return null;
    }

    private static Cell[] Code(Notebook notebook) => [.. notebook.Cells.Where(cell => cell.IsCode && cell.Source.Trim().Length > 0)];

    private string? Output(JsonNode old, JsonNode now)
    {
        var (oldParts, nowParts) = (Parts(old), Parts(now));
        if (!oldParts.Keys.SequenceEqual(nowParts.Keys)) return $"kept as {string.Join(", ", oldParts.Keys)}, now {string.Join(", ", nowParts.Keys)}";
        foreach (var (name, text) in oldParts)
            if (Difference(text, nowParts[name]) is { } difference) return $"{name}: {difference}";
        return null;
    }

    private static SortedDictionary<string, string> Parts(JsonNode output)
    {
        var parts = new SortedDictionary<string, string>(StringComparer.Ordinal);
        var type = (string?)output["output_type"];
        if (type == "stream") parts[$"{output["name"]}"] = Cell.Join(output["text"]);
        else if (type == "error") parts["error"] = $"{output["ename"]}: {output["evalue"]}";
        else
            foreach (var (mimeType, value) in output["data"] as JsonObject ?? [])
                parts[mimeType] = mimeType.EndsWith("json", StringComparison.Ordinal) ? "" : Cell.Join(value);
        return parts;
    }

    /// <summary>The first difference of two texts, with what stands around it; null when they agree.</summary>
    internal string? Difference(string old, string now)
    {
        var (oldNumbers, nowNumbers) = (Number().Matches(old), Number().Matches(now));
        var (oldEnd, nowEnd) = (0, 0);
        for (var i = 0; i < Math.Min(oldNumbers.Count, nowNumbers.Count); i++)
        {
            var (a, b) = (oldNumbers[i], nowNumbers[i]);
            if (old[oldEnd..a.Index] != now[nowEnd..b.Index] || !Agree(a.Value, b.Value)) return Describe(old, a.Index, now, b.Index);
            (oldEnd, nowEnd) = (a.Index + a.Length, b.Index + b.Length);
        }
        return old[oldEnd..] == now[nowEnd..] ? null : Describe(old, oldEnd, now, nowEnd);
    }

    private bool Agree(string old, string now)
    {
        if (old == now) return true;
        var (a, b) = (double.Parse(old, CultureInfo.InvariantCulture), double.Parse(now, CultureInfo.InvariantCulture));
        return Math.Abs(a - b) <= tolerance * Math.Max(Math.Abs(a), Math.Abs(b));
    }

    private static string Describe(string old, int oldIndex, string now, int nowIndex) =>
        $"kept \"{Around(old, oldIndex)}\", now \"{Around(now, nowIndex)}\"";

    private static string Around(string text, int index)
    {
        var start = Math.Max(0, index - (Context / 2));
        return text[start..Math.Min(text.Length, index + Context)].ReplaceLineEndings(" ");
    }

    // A minus sign belongs to the number only where no word or digit stands before it: not in "layers-0" and "2026-11".
    [GeneratedRegex(@"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")]
    private static partial Regex Number();
}
