using System.Collections.Concurrent;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace NeuronQuant.Tokenization;

/// <summary>The BPE model of tokenizer.json: one piece of text to ids.</summary>
/// <remarks>
/// A piece is cut into characters; a character without a token becomes its UTF-8 bytes as tokens &lt;0x00&gt; to &lt;0xFF&gt; (byte
/// fallback) or the unknown token; then pairs are merged. With ignore_merges, a piece that is itself a token is that token, even where
/// merging would not reach it (Llama-3). Results are cached by word, since text repeats its words; where <see cref="WordCuts"/> finds that a
/// piece is several, each is looked up alone. Dropout, which is for training a model, and the prefix and suffix of older vocabularies are
/// refused.
/// </remarks>
internal sealed class BytePairModel
{
    private const int CacheEntries = 50_000; // Some ten megabytes; beyond it the cache starts anew.
    private const int LongestCached = 128;   // Characters; longer pieces are not words and will not come again.

    private readonly Vocabulary _vocabulary;
    private readonly PairMerger _merger;
    private readonly WordCuts? _cuts;
    private readonly ConcurrentDictionary<string, int[]> _cache = new(StringComparer.Ordinal);
    private readonly int[]? _bytes;
    private readonly int? _unknown;
    private readonly bool _fuseUnknown;
    private readonly bool _ignoreMerges;
    private readonly string _file;
    private int _cached;

    private BytePairModel(JsonComponent component, Vocabulary vocabulary)
    {
        (_file, _vocabulary) = (component.File, vocabulary);
        _ignoreMerges = component.Flag("ignore_merges", false);
        _fuseUnknown = component.Flag("fuse_unk", false);
        _bytes = component.Flag("byte_fallback", false) ? ByteTokens(component) : null;
        _unknown = component.TextOrNull("unk_token") is { } token ? Known(component, "unk_token", token) : null;
        (string Left, string Right)[] merges = [.. component.List("merges").Select((entry, rank) => Pair(component, $"merges[{rank}]", entry))];
        _merger = new PairMerger(Ranks(component, merges));
        _cuts = _ignoreMerges ? null : new WordCuts(vocabulary, merges, component.TextOrNull("unk_token"));
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
        var cached = _cache.GetAlternateLookup<ReadOnlySpan<char>>();
        for (ReadOnlySpan<char> rest = piece; !rest.IsEmpty;)
        {
            var word = rest[..(_cuts?.Next(rest) ?? rest.Length)];
            if (cached.TryGetValue(word, out int[]? known)) ids.AddRange(known);
            else ids.AddRange(EncodeNew(word));
            rest = rest[word.Length..];
        }
    }

    private int[] EncodeNew(ReadOnlySpan<char> word)
    {
        bool token = _vocabulary.Ids.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(word, out int whole);
        int[] found = _ignoreMerges && token ? [whole] : Merge(word);
        if (word.Length > LongestCached) return found;
        if (Interlocked.Increment(ref _cached) > CacheEntries)
        {
            _cache.Clear();
            _cached = 0;
        }
        _cache[word.ToString()] = found;
        return found;
    }

    private int[] Merge(ReadOnlySpan<char> word)
    {
        var symbols = new List<int>(word.Length);
        var byText = _vocabulary.Ids.GetAlternateLookup<ReadOnlySpan<char>>();
        bool afterUnknown = false;
        for (int i = 0, length; i < word.Length; i += length)
        {
            length = char.IsSurrogate(word[i]) ? 2 : 1; // The text was made valid before: a surrogate has its partner.
            var character = word.Slice(i, length);
            bool known = byText.TryGetValue(character, out int id);
            if (known) symbols.Add(id);
            else if (_bytes is not null) AddBytes(character, symbols);
            else if (!(afterUnknown && _fuseUnknown)) symbols.Add(_unknown ?? throw UnknownCharacter(character.ToString()));
            afterUnknown = !known;
        }
        var merged = CollectionsMarshal.AsSpan(symbols);
        return merged[.._merger.Merge(merged)].ToArray();
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

    private PairTable Ranks(JsonComponent component, (string Left, string Right)[] merges)
    {
        var pairs = new PairTable(merges.Length);
        for (int rank = 0; rank < merges.Length; rank++)
        {
            var (left, right) = merges[rank];
            pairs.Set(Known(left), Known(right), rank, Known(left + right));

            int Known(string token) => _vocabulary.Ids.TryGetValue(token, out int id) ? id : this.Known(component, $"merges[{rank}]", token);
        }
        return pairs;
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
