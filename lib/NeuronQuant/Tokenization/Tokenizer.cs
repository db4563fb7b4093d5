using System.Text;

namespace NeuronQuant.Tokenization;

/// <summary>Text to ids and back, as a model's tokenizer.json says.</summary>
/// <remarks>
/// <para>A tokenizer.json describes a pipeline: added tokens are found in the text; what lies between is normalized, cut into pieces by the
/// pre-tokenizer, and each piece becomes ids by BPE; the post-processor, or a class that tokenizer_config.json names, puts special tokens
/// around. Decoding is a chain of its own. Two
/// families are covered: BPE over characters with byte fallback and "▁" for a space (Llama-2, Mistral-7B), and BPE over bytes with a
/// splitting pattern (Mistral-Nemo, Llama-3, Qwen2).</para>
/// <para>Whatever the file asks for and this library does not know is an error by name, never ignored: wrong ids make a model answer
/// nonsense without a word. Left out: WordPiece, Unigram, BPE dropout, character offsets, pairs of texts. The sections "truncation" and
/// "padding" are not applied, as Hugging Face's transformers overrides them as well. transformers' clean_up_tokenization_spaces, which is an
/// option of its decoding and not in this file, is not applied.</para>
/// <para>An instance may be used from several threads.</para>
/// </remarks>
public sealed class Tokenizer
{
    private readonly Vocabulary _vocabulary;
    private readonly BytePairModel _model;
    private readonly AddedTokenFinder _inText;
    private readonly AddedTokenFinder _inNormalized;
    private readonly Func<string, string> _normalize;
    private readonly Func<Piece, IEnumerable<Piece>> _cut;
    private readonly Func<List<int>, List<int>> _complete;
    private readonly Func<List<string>, List<string>> _decode;
    private readonly HashSet<int> _special;
    private readonly string _file;

    private Tokenizer(JsonComponent root)
    {
        _file = root.File;
        if (root.TextOrNull("version") is { } version and not "1.0") throw root.Unsupported($"version {TokenizerException.Quote(version)}", "1.0");
        var model = root.Child("model");
        _vocabulary = Vocabulary.Read(model);
        _model = BytePairModel.Read(model, _vocabulary);
        ModelVocabularySize = _vocabulary.Size;
        AddedTokens = root.Find("added_tokens") is null ? [] : [.. root.Children("added_tokens").Select(AddedToken.Read)];
        foreach (var token in AddedTokens) _vocabulary.Add(_file, "added_tokens", token.Content, token.Id);
        _special = [.. AddedTokens.Where(token => token.Special).Select(token => token.Id)];
        _normalize = Normalizers.Read(Optional(root, "normalizer"));
        _cut = PreTokenizers.Read(Optional(root, "pre_tokenizer"));
        var processor = PostProcessors.Read(Optional(root, "post_processor"), _vocabulary);
        _decode = Decoders.Read(Optional(root, "decoder"));
        _inText = new AddedTokenFinder(AddedTokens.Where(token => !token.Normalized), text => text);
        _inNormalized = new AddedTokenFinder(AddedTokens.Where(token => token.Normalized), _normalize);
        foreach (string section in (string[])["truncation", "padding"]) _ = root.Find(section);
        root.Finish();
        var settings = TokenizerSettings.Read(Path.GetDirectoryName(Path.GetFullPath(_file))!, _vocabulary);
        (Roles, _complete) = (settings.Roles, settings.Complete ?? processor);
    }

    /// <summary>The tokens that are found in text before BPE.</summary>
    public IReadOnlyList<AddedToken> AddedTokens { get; }

    /// <summary>Which tokens begin, end and pad a text.</summary>
    public TokenizerRoles Roles { get; }

    /// <summary>One more than the largest id: the rows that an embedding of all tokens has at least.</summary>
    public int VocabularySize => _vocabulary.Size;

    /// <summary>The same without the added tokens, for which a model may have no rows as long as none of them occurs.</summary>
    public int ModelVocabularySize { get; }

    /// <summary>Reads tokenizer.json, given as the file or as its folder, and tokenizer_config.json beside it when there is one.</summary>
    /// <exception cref="TokenizerException">The file is not there, not valid, or asks for what this library does not know.</exception>
    public static Tokenizer Load(string path)
    {
        string file = Directory.Exists(path) ? Path.Combine(path, "tokenizer.json") : path;
        using var document = TokenizerFile.Parse(file);
        return new Tokenizer(new JsonComponent(file, "tokenizer", document.RootElement));
    }

    /// <summary>The ids of a text.</summary>
    /// <param name="text">any text; a surrogate without its partner counts as U+FFFD</param>
    /// <param name="addSpecial">whether the post-processor puts its tokens around, such as &lt;s&gt; before</param>
    /// <exception cref="TokenizerException">A character has no token, or a pattern takes too long.</exception>
    public int[] Encode(string text, bool addSpecial = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>();
        foreach (var (outer, token) in _inText.Split(new Piece(Valid(text), AtStart: true)))
        {
            if (token is not null) ids.Add(token.Id);
            else EncodeNormalized(outer with { Text = _normalize(outer.Text) }, ids);
        }
        return [.. addSpecial ? _complete(ids) : ids];
    }

    /// <summary>The text of ids.</summary>
    /// <param name="ids">ids of this vocabulary</param>
    /// <param name="skipSpecial">whether special tokens are left out</param>
    /// <exception cref="TokenizerException">An id is not in the vocabulary.</exception>
    public string Decode(IEnumerable<int> ids, bool skipSpecial = true)
    {
        var tokens = ids.Where(id => !(skipSpecial && _special.Contains(id))).Select(TokenOf).ToList();
        return string.Concat(_decode(tokens));
    }

    /// <summary>A decoder for ids that arrive one by one.</summary>
    public TokenStream Stream(bool skipSpecial = true) => new(this, skipSpecial);

    /// <summary>The id of a token, spelled as in the file; null when there is none.</summary>
    public int? IdOf(string token) => _vocabulary.Ids.TryGetValue(token, out int id) ? id : null;

    /// <summary>The token of an id, spelled as in the file.</summary>
    /// <exception cref="TokenizerException">The id is not in the vocabulary.</exception>
    public string TokenOf(int id) => _vocabulary.TokenOf(id)
        ?? throw new TokenizerException(TokenizerFailure.IdUnknown, _file, "vocabulary", $"id {id}",
            $"one of its {_vocabulary.Count} ids, of which the largest is {_vocabulary.Size - 1}",
            "Model and tokenizer do not belong together, or the model's padded rows were not masked.");

    /// <summary>Whether the id is a special token.</summary>
    public bool IsSpecial(int id) => _special.Contains(id);

    /// <inheritdoc/>
    public override string ToString() =>
        FormattableString.Invariant($"Tokenizer: {_vocabulary.Count} tokens, {AddedTokens.Count} of them added, {_special.Count} special");

    private void EncodeNormalized(Piece piece, List<int> ids)
    {
        foreach (var (inner, token) in _inNormalized.Split(piece))
        {
            if (token is not null) ids.Add(token.Id);
            else
                foreach (var part in _cut(inner)) _model.Encode(part.Text, ids);
        }
    }

    private static JsonComponent? Optional(JsonComponent root, string name) => root.Find(name) is { } value ? new(root.File, name, value) : null;

    private static string Valid(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF')) return text;
        var valid = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes()) valid.Append(rune.ToString());
        return valid.ToString();
    }
}
