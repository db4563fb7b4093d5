using System.Text.Json;

namespace NeuronQuant.Tokenization;

/// <summary>Tokens and their ids, both ways: the model's and the added ones.</summary>
/// <remarks>
/// Ids come from a file that anybody may have edited: each must be a whole number below <see cref="LargestId"/>, belong to one token only,
/// and an added token that the model also knows must have the same id in both. JSON itself is read so that a name may occur once.
/// </remarks>
internal sealed class Vocabulary
{
    /// <summary>No vocabulary is near this; it keeps one hostile id from asking for gigabytes.</summary>
    private const int LargestId = 16_777_215;

    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly Dictionary<int, string> _tokens = [];

    public Dictionary<string, int> Ids => _ids;

    public int Count => _tokens.Count;

    /// <summary>One more than the largest id: rows that an embedding needs.</summary>
    public int Size { get; private set; }

    public string? TokenOf(int id) => _tokens.GetValueOrDefault(id);

    public static Vocabulary Read(JsonComponent model)
    {
        var vocabulary = new Vocabulary();
        var entries = model.Need("vocab");
        string path = $"{model.Path}.vocab";
        if (entries.ValueKind != JsonValueKind.Object) throw model.Wrong($"\"vocab\" as JSON {entries.ValueKind}", "an object from token to id");
        foreach (var entry in entries.EnumerateObject()) vocabulary.Add(model.File, path, entry.Name, IdOf(model.File, path, entry));
        if (vocabulary.Count == 0)
            throw new TokenizerException(TokenizerFailure.VocabularyEmpty, model.File, path, "no token", "at least one", "Download the file again.");
        return vocabulary;
    }

    /// <summary>Adds a token, or accepts one that is there with the same id.</summary>
    public void Add(string file, string path, string token, int id)
    {
        if (id > LargestId) throw OutOfRange(file, path, token, $"{id}");
        bool known = _ids.TryGetValue(token, out int other);
        if (known && other == id) return;
        if (known || !_tokens.TryAdd(id, token))
            throw new TokenizerException(TokenizerFailure.DuplicateId, file, path,
                $"id {id} for {TokenizerException.Quote(token)}, "
                + (known ? $"which has id {other}" : $"the id of {TokenizerException.Quote(_tokens[id])}"),
                "one id for each token", "Repair the file: its ids contradict each other.");
        _ids.Add(token, id);
        Size = Math.Max(Size, id + 1);
    }

    private static int IdOf(string file, string path, JsonProperty entry) =>
        entry.Value.ValueKind == JsonValueKind.Number && entry.Value.TryGetInt32(out int id) && id >= 0
            ? id
            : throw OutOfRange(file, path, entry.Name, TokenizerException.Quote(entry.Value.GetRawText()));

    private static TokenizerException OutOfRange(string file, string path, string token, string found) =>
        new(TokenizerFailure.IdOutOfRange, file, path, $"id {found} for {TokenizerException.Quote(token)}",
            $"a whole number from 0 to {LargestId}", "Download the file again.");
}
