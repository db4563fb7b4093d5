using System.Text.Json;

namespace NeuronQuant.Tokenization;

/// <summary>One JSON object of tokenizer.json, read strictly: whatever is not asked for is an error.</summary>
/// <remarks>
/// An option that is silently skipped changes ids silently, and a model fed with other ids than in its training answers nonsense. So each
/// reader asks for every field it knows and then calls <see cref="Finish"/>, which refuses the rest by name. <see cref="Path"/> is where
/// the object stands in the file, as in "pre_tokenizer.pretokenizers[1]".
/// </remarks>
internal sealed class JsonComponent
{
    private readonly JsonElement _element;
    private readonly HashSet<string> _read = ["type"];

    public JsonComponent(string file, string path, JsonElement element)
    {
        (File, Path, _element) = (file, path, element);
        if (element.ValueKind != JsonValueKind.Object) throw Wrong($"JSON {element.ValueKind}", "an object");
    }

    public string File { get; }

    public string Path { get; }

    /// <summary>The component's "type".</summary>
    public string Type => Text("type");

    public JsonElement? Find(string name)
    {
        _read.Add(name);
        return _element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;
    }

    /// <summary>Whether the field is there, be it null.</summary>
    public bool IsWritten(string name) => _element.TryGetProperty(name, out _);

    public JsonElement Need(string name) => Find(name) ?? throw Wrong($"no \"{name}\"", "this field");

    public string Text(string name) => AsText(name, Need(name));

    public string? TextOrNull(string name) => Find(name) is { } value ? AsText(name, value) : null;

    public bool Flag(string name, bool missing) => Find(name) switch
    {
        null => missing,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        { } value => throw Wrong($"\"{name}\" as JSON {value.ValueKind}", "true or false"),
    };

    public int Number(string name) => Need(name) is { ValueKind: JsonValueKind.Number } value && value.TryGetInt32(out int number) && number >= 0
        ? number
        : throw new TokenizerException(TokenizerFailure.IdOutOfRange, File, Path, $"\"{name}\": {TokenizerException.Quote(Need(name).GetRawText())}",
            "a whole number from 0 to 2^31 - 1", "Download the file again.");

    public JsonComponent Child(string name) => new(File, $"{Path}.{name}", Need(name));

    public IEnumerable<JsonComponent> Children(string name) =>
        List(name).Select((child, index) => new JsonComponent(File, $"{Path}.{name}[{index}]", child));

    public IEnumerable<JsonElement> List(string name)
    {
        var list = Need(name);
        if (list.ValueKind != JsonValueKind.Array) throw Wrong($"\"{name}\" as JSON {list.ValueKind}", "a list");
        return list.EnumerateArray();
    }

    /// <summary>The names of the object's fields.</summary>
    public IEnumerable<string> Names() => _element.EnumerateObject().Select(property => property.Name);

    /// <summary>Refuses fields that nobody asked for.</summary>
    public void Finish()
    {
        foreach (var property in _element.EnumerateObject())
            if (!_read.Contains(property.Name))
                throw Unsupported($"the option {TokenizerException.Quote(property.Name)}", string.Join(", ", _read.Order(StringComparer.Ordinal)));
    }

    public TokenizerException Wrong(string found, string expected) =>
        new(TokenizerFailure.WrongStructure, File, Path, found, expected, "Check that it is a tokenizer.json of Hugging Face's tokenizers.");

    public TokenizerException UnsupportedType(string known) => Unsupported($"type {TokenizerException.Quote(Type)}", $"one of {known}");

    public TokenizerException Unsupported(string found, string expected) =>
        new(TokenizerFailure.Unsupported, File, Path, found, expected, "This library cannot tokenize for this model: ids would be wrong.");

    private string AsText(string name, JsonElement value) =>
        value.ValueKind == JsonValueKind.String ? value.GetString()! : throw Wrong($"\"{name}\" as JSON {value.ValueKind}", "text");
}
