using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using NeuronQuant.Tokenization;

namespace NeuronQuant.Tests.Tokenization;

/// <summary>Small tokenizer.json files of each family, written part by part so that ids can be worked out by hand.</summary>
internal static class TinyTokenizer
{
    /// <summary>Llama-3's pattern.</summary>
    public const string Llama3 =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Qwen2's pattern.</summary>
    public const string Qwen2 =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Mistral-Nemo's pattern.</summary>
    public const string Nemo = @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
        + @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>The character that byte-level BPE writes for a byte, by GPT-2's rule, derived here a second time.</summary>
    public static readonly string[] ByteCharacters = BuildByteCharacters();

    /// <summary>Ids 0, 1, 2 are unk, begin and end, 3 to 258 the bytes; then the extra tokens.</summary>
    public static JsonObject Llama2(string[] extra, string[] merges, string? normalizer = LegacyNormalizer, string? preTokenizer = null)
    {
        var vocab = new JsonObject { ["<unk>"] = 0, ["<s>"] = 1, ["</s>"] = 2 };
        for (int value = 0; value < 256; value++) vocab[string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>")] = 3 + value;
        foreach (string token in extra) vocab[token] = vocab.Count;
        return new JsonObject
        {
            ["version"] = "1.0",
            ["added_tokens"] = new JsonArray(Added(0, "<unk>"), Added(1, "<s>"), Added(2, "</s>")),
            ["normalizer"] = normalizer is null ? null : JsonNode.Parse(normalizer),
            ["pre_tokenizer"] = preTokenizer is null ? null : JsonNode.Parse(preTokenizer),
            ["post_processor"] = Template("<s>", 1),
            ["decoder"] = JsonNode.Parse(LegacyDecoder),
            ["model"] = Model(vocab, new JsonArray([.. merges.Select(merge => JsonValue.Create(merge))]), "<unk>", byteFallback: true),
        };
    }

    /// <summary>Ids 0 to 255 are the bytes, then the extra tokens, then &lt;|end|&gt;; merges are pairs.</summary>
    public static JsonObject ByteLevel(string pattern, string[] extra, (string, string)[] merges, bool ignoreMerges = false, string? normalizer = null)
    {
        var vocab = new JsonObject();
        foreach (string character in ByteCharacters) vocab[character] = vocab.Count;
        foreach (string token in extra) vocab[token] = vocab.Count;
        var split = new JsonObject
        {
            ["type"] = "Split",
            ["pattern"] = new JsonObject { ["Regex"] = pattern },
            ["behavior"] = "Isolated",
            ["invert"] = false,
        };
        var bytes = (JsonNode)new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = false };
        var model = Model(vocab, new JsonArray([.. merges.Select(merge => new JsonArray(merge.Item1, merge.Item2))]), null, byteFallback: false);
        model["ignore_merges"] = ignoreMerges;
        return new JsonObject
        {
            ["version"] = "1.0",
            ["added_tokens"] = new JsonArray(Added(vocab.Count, "<|end|>")),
            ["normalizer"] = normalizer is null ? null : JsonNode.Parse(normalizer),
            ["pre_tokenizer"] = new JsonObject { ["type"] = "Sequence", ["pretokenizers"] = new JsonArray(split, bytes) },
            ["post_processor"] = bytes.DeepClone(),
            ["decoder"] = bytes.DeepClone(),
            ["model"] = model,
        };
    }

    public static JsonObject Added(int id, string content, bool special = true, bool lstrip = false, bool rstrip = false, bool singleWord = false,
        bool normalized = false) => new()
        {
            ["id"] = id,
            ["content"] = content,
            ["single_word"] = singleWord,
            ["lstrip"] = lstrip,
            ["rstrip"] = rstrip,
            ["normalized"] = normalized,
            ["special"] = special,
        };

    public static Tokenizer Load(JsonNode json)
    {
        string folder = Directory.CreateTempSubdirectory("neuronquant-").FullName;
        try
        {
            File.WriteAllText(Path.Combine(folder, "tokenizer.json"), json.ToJsonString());
            return Tokenizer.Load(folder);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    public const string LegacyNormalizer = """
        {"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}
        """;

    private const string LegacyDecoder = """
        {"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},
        {"type":"Strip","content":" ","start":1,"stop":0}]}
        """;

    public static JsonObject Template(string token, int id) => JsonSerializer.Deserialize<JsonObject>($$$$"""
        {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"{{{{token}}}}","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
        "pair":[],"special_tokens":{"{{{{token}}}}":{"id":"{{{{token}}}}","ids":[{{{{id}}}}],"tokens":["{{{{token}}}}"]}}}
        """)!;

    private static JsonObject Model(JsonObject vocab, JsonArray merges, string? unknown, bool byteFallback) => new()
    {
        ["type"] = "BPE",
        ["dropout"] = null,
        ["unk_token"] = unknown,
        ["fuse_unk"] = true,
        ["byte_fallback"] = byteFallback,
        ["vocab"] = vocab,
        ["merges"] = merges,
    };

    private static string[] BuildByteCharacters()
    {
        var visible = Enumerable.Range('!', '~' - '!' + 1).Concat(Enumerable.Range(0xA1, 12)).Concat(Enumerable.Range(0xAE, 82)).ToHashSet();
        int hidden = 0;
        return [.. Enumerable.Range(0, 256).Select(value => ((char)(visible.Contains(value) ? value : 256 + hidden++)).ToString())];
    }
}
