using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace NeuronQuant.Tokenization;

/// <summary>The BPE model of tokenizer.json: one piece of text to ids.</summary>
/// <remarks>
/// A piece is cut into characters; a character without a token becomes its UTF-8 bytes as tokens &lt;0x00&gt; to &lt;0xFF&gt; (byte
/// fallback) or the unknown token; then pairs are merged. With ignore_merges, a piece that is itself a token is that token, even where
/// merging would not reach it (Llama-3). Results are cached by piece, since text repeats its words. Dropout, which is for training a model,
/// and the prefix and suffix of older vocabularies are refused.
/// </remarks>
internal sealed class BytePairModel
{
    private const int CacheEntries = 50_000; // Some ten megabytes; beyond it the cache starts anew.
    private const int LongestCached = 128;   // Characters; longer pieces are not words and will not come again.

    private readonly Vocabulary _vocabulary;
    private readonly PairMerger _merger;
    private readonly ConcurrentDictionary<string, int[]> _cache = new(StringComparer.Ordinal);
    private readonly int[]? _bytes;
    private readonly int? _unknown;
    private readonly bool _fuseUnknown;
    private readonly bool _ignoreMerges;
    private readonly string _file;

    private BytePairModel(JsonComponent component, Vocabulary vocabulary)
    {
        (_file, _vocabulary) = (component.File, vocabulary);
        _ignoreMerges = component.Flag("ignore_merges", false);
        _fuseUnknown = component.Flag("fuse_unk", false);
        _bytes = component.Flag("byte_fallback", false) ? ByteTokens(component) : null;
        _unknown = component.TextOrNull("unk_token") is { } token ? Known(component, "unk_token", token) : null;
        _merger = new PairMerger(ReadMerges(component));
    }

    public static BytePairModel Read(JsonComponent component, Vocabulary vocabulary)
    {
        if (component.Find("type") is not null && component.Type != "BPE") throw component.UnsupportedType("BPE");
        if (component.Find("dropout") is { } dropout && dropout.GetRawText() is not ("0" or "0.0"))
            throw component.Unsupported($"dropout {TokenizerException.Quote(dropout.GetRawText())}", "null");
        foreach (string affix in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
            if (component.TextOrNull(affix) is { Length: > 0 } text)
                throw component.Unsupported($"{affix} {TokenizerException.Quote(text)}", "null");
        var model = new BytePairModel(component, vocabulary);
        component.Finish();
        return model;
    }

    /// <summary>Adds the ids of a piece.</summary>
    public void Encode(string piece, List<int> ids)
    {
        if (piece.Length == 0) return;
        if (_cache.TryGetValue(piece, out int[]? cached))
        {
            ids.AddRange(cached);
            return;
        }
        int[] found = _ignoreMerges && _vocabulary.Ids.TryGetValue(piece, out int whole) ? [whole] : Merge(piece);
        ids.AddRange(found);
        if (piece.Length > LongestCached) return;
        if (_cache.Count >= CacheEntries) _cache.Clear();
        _cache[piece] = found;
    }

    private int[] Merge(string piece)
    {
        var symbols = new List<int>(piece.Length);
        var byText = _vocabulary.Ids.GetAlternateLookup<ReadOnlySpan<char>>();
        bool afterUnknown = false;
        for (int i = 0, length; i < piece.Length; i += length)
        {
            length = char.IsSurrogate(piece[i]) ? 2 : 1; // The text was made valid before: a surrogate has its partner.
            var character = piece.AsSpan(i, length);
            bool known = byText.TryGetValue(character, out int id);
            if (known) symbols.Add(id);
            else if (_bytes is not null) AddBytes(character, symbols);
            else if (!(afterUnknown && _fuseUnknown)) symbols.Add(_unknown ?? throw UnknownCharacter(character.ToString()));
            afterUnknown = !known;
        }
        int[] merged = [.. symbols];
        return merged[.._merger.Merge(merged)];
    }

    private void AddBytes(ReadOnlySpan<char> character, List<int> symbols)
    {
        Span<byte> bytes = stackalloc byte[4];
        int count = Encoding.UTF8.GetBytes(character, bytes);
        foreach (byte value in bytes[..count]) symbols.Add(_bytes![value]);
    }

    private int[] ByteTokens(JsonComponent component)
    {
        var ids = new int[256];
        for (int value = 0; value < 256; value++)
        {
            string token = string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>");
            if (!_vocabulary.Ids.TryGetValue(token, out ids[value]))
                throw new TokenizerException(TokenizerFailure.ByteMissing, component.File, component.Path,
                    $"byte_fallback, and no token {token}", "all of <0x00> to <0xFF>", "Download the file again.");
        }
        return ids;
    }

    private Dictionary<long, (int Rank, int Merged)> ReadMerges(JsonComponent component)
    {
        var merges = new Dictionary<long, (int, int)>();
        int rank = 0;
        foreach (var entry in component.List("merges"))
        {
            string path = $"merges[{rank}]";
            var (left, right) = Pair(component, path, entry);
            long key = PairMerger.Key(Known(component, path, left), Known(component, path, right));
            merges[key] = (rank++, Known(component, path, left + right));
        }
        return merges;
    }

    // "a b" in older files, ["a", "b"] in newer ones, where a token may hold a space.
    private static (string Left, string Right) Pair(JsonComponent component, string path, JsonElement entry)
    {
        if (entry.ValueKind == JsonValueKind.String && entry.GetString()!.Split(' ') is [var a, var b]) return (a, b);
        bool pair = entry.ValueKind == JsonValueKind.Array && entry.GetArrayLength() == 2
            && entry.EnumerateArray().All(part => part.ValueKind == JsonValueKind.String);
        if (pair) return (entry[0].GetString()!, entry[1].GetString()!);
        throw component.Wrong($"{path}: {TokenizerException.Quote(entry.GetRawText())}", "\"left right\" or [\"left\", \"right\"]");
    }

    private int Known(JsonComponent component, string name, string token) => _vocabulary.Ids.TryGetValue(token, out int id)
        ? id
        : throw new TokenizerException(name == "unk_token" ? TokenizerFailure.TokenUnknown : TokenizerFailure.MergeUnknown, component.File,
            $"{component.Path}.{name}", $"{TokenizerException.Quote(token)}, which is not in the vocabulary", "a token of model.vocab",
            "Vocabulary and merges are of different models: download both again.");

    private TokenizerException UnknownCharacter(string character) =>
        new(TokenizerFailure.CharacterUnknown, _file, "model",
            string.Create(CultureInfo.InvariantCulture, $"U+{char.ConvertToUtf32(character, 0):X4} in the text, which no token covers"),
            "characters of the vocabulary, since the model has no byte fallback and no unknown token", "Remove the character from the text.");
}
