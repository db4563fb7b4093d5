using System.Text.Json;

namespace NeuronQuant.Tokenization;

/// <summary>What tokenizer_config.json says beside tokenizer.json: the roles of tokens, and which of them are put around a text.</summary>
/// <remarks>
/// <para>transformers reads tokenizer.json and then may change it, depending on tokenizer_class. The classes of Llama, Code Llama and Gemma
/// (LlamaTokenizer and its twin LlamaTokenizerFast: tokenization_llama_fast.py, update_post_processor, release 4) throw the file's
/// post-processor away and build one from add_bos_token, true when left out, and add_eos_token, false when left out; their bos_token and
/// eos_token have defaults as well. All other classes, PreTrainedTokenizerFast and Qwen2Tokenizer among them, leave the post-processor as it
/// is and do not look at the two flags. A file with a flag and without a class gets the class of config.json: tokenizer_class, or
/// Llama's for model_type llama and mistral.</para>
/// <para>generation_config.json may name more tokens that end a text: that is the generator's business. Left out: added_tokens_decoder, chat
/// templates, and what add_prefix_space does when transformers converts a tokenizer.model anew.</para>
/// </remarks>
internal sealed class TokenizerSettings
{
    // The classes that build their own post-processor, with their bos_token and eos_token when the file has none.
    private static readonly Dictionary<string, (string Begin, string End)> Building = new(StringComparer.Ordinal)
    {
        ["Llama"] = ("<s>", "</s>"),
        ["CodeLlama"] = ("<s>", "</s>"),
        ["Gemma"] = ("<bos>", "<eos>"),
    };

    private readonly JsonComponent _root;
    private readonly Vocabulary _vocabulary;

    private TokenizerSettings(string folder, JsonComponent root, Vocabulary vocabulary)
    {
        (_root, _vocabulary) = (root, vocabulary);
        bool builds = Building.TryGetValue(ClassOf(folder) ?? "", out var names);
        Roles = new TokenizerRoles(Role("bos_token", builds ? names.Begin : null), Role("eos_token", builds ? names.End : null),
            Role("pad_token", null));
        if (!builds) return;
        int[] before = Flag("add_bos_token", true) ? [Needed(Roles.Begin, "bos_token")] : [];
        int[] after = Flag("add_eos_token", false) ? [Needed(Roles.End, "eos_token")] : [];
        Complete = ids => [.. before, .. ids, .. after];
    }

    /// <summary>Which tokens begin, end and pad a text.</summary>
    public TokenizerRoles Roles { get; }

    /// <summary>Puts the class's tokens around a text's; null when that is tokenizer.json's business.</summary>
    public Func<List<int>, List<int>>? Complete { get; }

    public static TokenizerSettings Read(string folder, Vocabulary vocabulary)
    {
        string path = Path.Combine(folder, "tokenizer_config.json");
        using var document = File.Exists(path) ? TokenizerFile.Parse(path) : JsonDocument.Parse("{}");
        var root = new JsonComponent(path, "tokenizer_config", document.RootElement);
        return new TokenizerSettings(folder, root, vocabulary);
    }

    // Without "Tokenizer" or "TokenizerFast" at its end.
    private string? ClassOf(string folder)
    {
        string? name = _root.TextOrNull("tokenizer_class");
        bool flagged = _root.IsWritten("add_bos_token") || _root.IsWritten("add_eos_token");
        string config = Path.Combine(folder, "config.json");
        if (name is null && flagged && File.Exists(config))
        {
            using var document = TokenizerFile.Parse(config);
            var root = new JsonComponent(config, "config", document.RootElement);
            name = root.TextOrNull("tokenizer_class") ?? (root.TextOrNull("model_type") is "llama" or "mistral" ? "LlamaTokenizer" : null);
        }
        return name?.Split("Tokenizer") is [var model, "" or "Fast"] ? model : null;
    }

    // null is what Python takes for false.
    private bool Flag(string name, bool missing) => _root.Flag(name, missing && !_root.IsWritten(name));

    // A token is text, or an object whose content is the text.
    private int? Role(string name, string? missing)
    {
        string? token = _root.Find(name) switch
        {
            { ValueKind: JsonValueKind.Object } => _root.Child(name).Text("content"),
            null => _root.IsWritten(name) ? null : missing,
            _ => _root.Text(name),
        };
        if (token is null) return null;
        return _vocabulary.Ids.TryGetValue(token, out int id)
            ? id
            : throw new TokenizerException(TokenizerFailure.TokenUnknown, _root.File, name, TokenizerException.Quote(token),
                "a token of tokenizer.json", "The two files are of different models: download both again.");
    }

    private int Needed(int? role, string name) =>
        role ?? throw _root.Wrong($"add_{name} without a {name}", $"a {name}, since the class puts it beside each text");
}
