using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace NeuronQuant.Tokenization;

/// <summary>Writes a byte-level BPE as the tokenizer.json and tokenizer_config.json that Hugging Face's libraries read.</summary>
/// <remarks>
/// The pipeline written: a Split by the trainer's pattern, ByteLevel without a pattern of its own, BPE, a template that puts &lt;s&gt;
/// before the text, the ByteLevel decoder. Merges are written as "left right", which every version of the reader accepts; no token of this
/// alphabet holds a space.
/// </remarks>
internal static class TokenizerWriter
{
    // Letters such as U+0120 are written as themselves: the file is read by people, and is not put into a web page.
    private static readonly JsonSerializerOptions Options = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly string[] Special = [BpeTrainer.BeginToken, BpeTrainer.EndToken, BpeTrainer.PadToken];

    /// <summary>Writes both files; tokens are in the order of their ids, the special ones first.</summary>
    public static void Write(string folder, IReadOnlyList<string> tokens, IReadOnlyList<(string Left, string Right)> merges)
    {
        Directory.CreateDirectory(folder);
        var root = new JsonObject
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = new JsonArray([.. Special.Select((content, id) => AddedToken(id, content))]),
            ["normalizer"] = null,
            ["pre_tokenizer"] = PreTokenizer(),
            ["post_processor"] = PostProcessor(),
            ["decoder"] = ByteLevel(),
            ["model"] = Model(tokens, merges),
        };
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), root.ToJsonString(Options) + "\n");
        File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), Config().ToJsonString(Options) + "\n");
    }

    private static JsonObject AddedToken(int id, string content) => new()
    {
        ["id"] = id,
        ["content"] = content,
        ["single_word"] = false,
        ["lstrip"] = false,
        ["rstrip"] = false,
        ["normalized"] = false,
        ["special"] = true,
    };

    private static JsonObject PreTokenizer() => new()
    {
        ["type"] = "Sequence",
        ["pretokenizers"] = new JsonArray(
            new JsonObject
            {
                ["type"] = "Split",
                ["pattern"] = new JsonObject { ["Regex"] = BpeTrainer.Pattern },
                ["behavior"] = "Isolated",
                ["invert"] = false,
            },
            ByteLevel()),
    };

    private static JsonObject ByteLevel() =>
        new() { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = false };

    private static JsonObject PostProcessor() => new()
    {
        ["type"] = "TemplateProcessing",
        ["single"] = new JsonArray(Begin(0), Text("A", 0)),
        ["pair"] = new JsonArray(Begin(0), Text("A", 0), Begin(1), Text("B", 1)),
        ["special_tokens"] = new JsonObject
        {
            [BpeTrainer.BeginToken] = new JsonObject
            {
                ["id"] = BpeTrainer.BeginToken,
                ["ids"] = new JsonArray(0),
                ["tokens"] = new JsonArray(BpeTrainer.BeginToken),
            },
        },
    };

    private static JsonObject Begin(int type) =>
        new() { ["SpecialToken"] = new JsonObject { ["id"] = BpeTrainer.BeginToken, ["type_id"] = type } };

    private static JsonObject Text(string name, int type) => new() { ["Sequence"] = new JsonObject { ["id"] = name, ["type_id"] = type } };

    private static JsonObject Model(IReadOnlyList<string> tokens, IReadOnlyList<(string Left, string Right)> merges) => new()
    {
        ["type"] = "BPE",
        ["dropout"] = null,
        ["unk_token"] = null,
        ["continuing_subword_prefix"] = null,
        ["end_of_word_suffix"] = null,
        ["fuse_unk"] = false,
        ["byte_fallback"] = false,
        ["ignore_merges"] = false,
        ["vocab"] = new JsonObject(tokens.Select((token, id) => KeyValuePair.Create(token, (JsonNode?)id))),
        ["merges"] = new JsonArray([.. merges.Select(merge => JsonValue.Create($"{merge.Left} {merge.Right}"))]),
    };

    private static JsonObject Config() => new()
    {
        ["tokenizer_class"] = "PreTrainedTokenizerFast",
        ["bos_token"] = BpeTrainer.BeginToken,
        ["eos_token"] = BpeTrainer.EndToken,
        ["pad_token"] = BpeTrainer.PadToken,
        ["clean_up_tokenization_spaces"] = false,
    };
}
