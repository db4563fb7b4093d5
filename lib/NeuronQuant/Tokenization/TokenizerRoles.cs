using System.Text.Json;

namespace NeuronQuant.Tokenization;

/// <summary>Which tokens begin, end and pad a text, by tokenizer_config.json beside tokenizer.json.</summary>
/// <param name="Begin">the id of bos_token; null when there is none</param>
/// <param name="End">the id of eos_token</param>
/// <param name="Pad">the id of pad_token</param>
/// <remarks>
/// Only these three names are read. Whether a begin token is put before a text is the post-processor's business, in tokenizer.json, as in
/// Hugging Face's fast tokenizers. generation_config.json may name more tokens that end a text: that is the generator's business.
/// </remarks>
public sealed record TokenizerRoles(int? Begin, int? End, int? Pad)
{
    internal static TokenizerRoles Read(string folder, Vocabulary vocabulary)
    {
        string path = Path.Combine(folder, "tokenizer_config.json");
        if (!File.Exists(path)) return new TokenizerRoles(null, null, null);
        using var document = TokenizerFile.Parse(path);
        var root = new JsonComponent(path, "tokenizer_config", document.RootElement);
        return new TokenizerRoles(Role(root, "bos_token", vocabulary), Role(root, "eos_token", vocabulary), Role(root, "pad_token", vocabulary));
    }

    // A token is text, or an object whose content is the text.
    private static int? Role(JsonComponent root, string name, Vocabulary vocabulary)
    {
        if (root.Find(name) is not { } value) return null;
        string token = value.ValueKind == JsonValueKind.Object ? root.Child(name).Text("content") : root.Text(name);
        return vocabulary.Ids.TryGetValue(token, out int id)
            ? id
            : throw new TokenizerException(TokenizerFailure.TokenUnknown, root.File, name, TokenizerException.Quote(token),
                "a token of tokenizer.json", "The two files are of different models: download both again.");
    }
}
