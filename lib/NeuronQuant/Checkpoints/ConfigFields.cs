using System.Text.Json;

namespace NeuronQuant.Checkpoints;

/// <summary>Typed access to the fields of config.json, in which every failure names file and field.</summary>
/// <remarks>
/// "Optional" means missing or null. Whole numbers written as 32768.0 are refused: no published config of these families has them, and a
/// fraction would be cut. The path prefix ("rope_scaling.") tells nested fields apart in errors.
/// </remarks>
internal sealed class ConfigFields(string file, JsonElement element, string prefix = "")
{
    public bool Has(string name) => element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null;

    /// <summary>True when the field is there, be it null: some defaults apply only to a field that is left out.</summary>
    public bool IsWritten(string name) => element.TryGetProperty(name, out _);

    /// <summary>True for an object without any field.</summary>
    public bool IsEmpty => !element.EnumerateObject().Any();

    /// <summary>True when the field is a string.</summary>
    public bool IsText(string name) => Has(name) && element.GetProperty(name).ValueKind == JsonValueKind.String;

    /// <summary>The fields that are objects, in the file's order.</summary>
    public IEnumerable<ConfigFields> Objects() => element.EnumerateObject().Where(field => field.Value.ValueKind == JsonValueKind.Object)
        .Select(field => new ConfigFields(file, field.Value, $"{prefix}{field.Name}."));

    public int Count(string name) => Integer(Required(name), name, 1);

    public int? OptionalCount(string name) => Has(name) ? Count(name) : null;

    public int Index(string name) => Integer(Required(name), name, 0);

    public int? OptionalInteger(string name) => Has(name) ? Integer(Required(name), name, int.MinValue) : null;

    public double Positive(string name)
    {
        var value = Required(name);
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out double number)) throw Type(name, value, "a number");
        return double.IsFinite(number) && number > 0 ? number : throw Value(name, Clip(value), "a finite number above 0");
    }

    public double? OptionalPositive(string name) => Has(name) ? Positive(name) : null;

    public bool? OptionalFlag(string name)
    {
        if (!Has(name)) return null;
        var value = element.GetProperty(name);
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw Type(name, value, "true or false");
    }

    public string? OptionalText(string name)
    {
        if (!Has(name)) return null;
        var value = element.GetProperty(name);
        return value.ValueKind == JsonValueKind.String ? value.GetString() : throw Type(name, value, "a string");
    }

    public IReadOnlyList<string> OptionalTexts(string name)
    {
        if (!Has(name)) return [];
        var value = element.GetProperty(name);
        if (value.ValueKind != JsonValueKind.Array || value.EnumerateArray().Any(item => item.ValueKind != JsonValueKind.String))
            throw Type(name, value, "an array of strings");
        return [.. value.EnumerateArray().Select(item => item.GetString()!)];
    }

    /// <summary>One integer or a list of them.</summary>
    public IReadOnlyList<int> OptionalIntegers(string name)
    {
        if (!Has(name)) return [];
        var value = element.GetProperty(name);
        return value.ValueKind == JsonValueKind.Array
            ? [.. value.EnumerateArray().Select(item => Integer(item, name, int.MinValue))] : [Integer(value, name, int.MinValue)];
    }

    public ConfigFields? OptionalObject(string name)
    {
        if (!Has(name)) return null;
        var value = element.GetProperty(name);
        return value.ValueKind == JsonValueKind.Object ? new ConfigFields(file, value, $"{prefix}{name}.") : throw Type(name, value, "an object");
    }

    public CheckpointException Missing(string name) => new(CheckpointFailure.ConfigFieldMissing, file, prefix + name, "no such field", "it",
        "Copy config.json from the model's repository, or add the field.");

    public CheckpointException Value(string name, string found, string expected) => new(CheckpointFailure.ConfigFieldValue, file, prefix + name,
        found, expected, "Correct the field; the published config.json of the model has the right value.");

    public CheckpointException Unsupported(string name, string found, string expected, string remedy) =>
        new(CheckpointFailure.ConfigUnsupported, file, prefix + name, found, expected, remedy);

    private JsonElement Required(string name) => Has(name) ? element.GetProperty(name) : throw Missing(name);

    private int Integer(JsonElement value, string name, int least)
    {
        if (value.ValueKind != JsonValueKind.Number) throw Type(name, value, "an integer");
        if (!value.TryGetInt32(out int number)) throw Type(name, value, "an integer of at most 2^31 - 1");
        return number >= least ? number : throw Value(name, Clip(value), $"at least {least}");
    }

    private CheckpointException Type(string name, JsonElement value, string expected) => new(CheckpointFailure.ConfigFieldType, file,
        prefix + name, value.ValueKind == JsonValueKind.Number ? $"the number {Clip(value)}" : $"JSON {value.ValueKind}", expected,
        "Correct the field.");

    private static string Clip(JsonElement value) => value.GetRawText() is { Length: > 40 } text ? text[..40] + "..." : value.GetRawText();
}
