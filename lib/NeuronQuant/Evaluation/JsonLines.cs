using System.Globalization;
using System.Text.Json;

namespace NeuronQuant.Evaluation;

/// <summary>Reads a file with one JSON object a line, with errors that name the line.</summary>
internal static class JsonLines
{
    /// <summary>Line numbers, from 1, and objects; blank lines are skipped.</summary>
    public static IEnumerable<(int Number, JsonElement Element)> Read(string path)
    {
        int number = 0;
        foreach (string line in TextFile.Lines(path))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line)) continue;
            yield return (number, Parse(path, number, line));
        }
    }

    /// <summary>A field that must be text.</summary>
    public static string Text(string path, int number, JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()!
            : throw Invalid(path, number, $"no text \"{name}\"", "an object with this field", null);

    /// <summary>A field that must be a list of text, none of it empty.</summary>
    public static string[] Texts(string path, int number, JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Array
            && value.EnumerateArray().All(text => text.ValueKind == JsonValueKind.String && text.GetString()!.Length > 0)
            ? [.. value.EnumerateArray().Select(text => text.GetString()!)]
            : throw Invalid(path, number, $"no list of text \"{name}\"", "an object with this field", null);

    /// <summary>A field that must be a number below a count, as a number or as text.</summary>
    public static int Index(string path, int number, JsonElement element, string name, int count)
    {
        string text = !element.TryGetProperty(name, out var value) ? ""
            : value.ValueKind == JsonValueKind.String ? value.GetString()! : value.GetRawText();
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int index) && index < count
            ? index
            : throw Invalid(path, number, $"\"{name}\": {text}", FormattableString.Invariant($"a number from 0 to {count - 1}"), null);
    }

    public static EvaluationException Invalid(string path, int number, string found, string expected, Exception? inner) =>
        new(EvaluationFailure.DataInvalid, FormattableString.Invariant($"{path}, line {number}"), found, expected,
            "Check that it is the task's file and whole.", inner);

    private static JsonElement Parse(string path, int number, string line)
    {
        try
        {
            using var document = JsonDocument.Parse(line);
            if (document.RootElement.ValueKind == JsonValueKind.Object) return document.RootElement.Clone();
            throw Invalid(path, number, $"JSON {document.RootElement.ValueKind}", "a JSON object", null);
        }
        catch (JsonException error)
        {
            throw Invalid(path, number, $"text that is not JSON ({error.Message})", "a JSON object", error);
        }
    }
}
