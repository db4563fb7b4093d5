namespace NeuronQuant.Tokenization;

/// <summary>Decodes ids as they arrive, holding back what the next id could still change.</summary>
/// <remarks>
/// A character may be spread over several ids, and a decoder looks at a token's neighbours (a run of bytes, the text's first space). So the
/// ids since the last cut are decoded twice, without and with the new ones, and the difference is the new text. It is held back while it
/// ends in U+FFFD, an incomplete character, or in a byte of a fallback, whose run is not over. All parts together, with the rest that
/// <see cref="Finish"/> gives, equal <see cref="Tokenizer.Decode"/> of all ids. Each id is decoded a few times.
/// </remarks>
public sealed class TokenStream
{
    private readonly Tokenizer _tokenizer;
    private readonly bool _skipSpecial;
    private readonly List<int> _context = []; // Told already; decoded again so that the new ids have their neighbour.
    private readonly List<int> _waiting = [];

    internal TokenStream(Tokenizer tokenizer, bool skipSpecial) => (_tokenizer, _skipSpecial) = (tokenizer, skipSpecial);

    /// <summary>Takes the next id and returns the text that is now certain; often a word, sometimes nothing.</summary>
    /// <exception cref="TokenizerException">The id is not in the vocabulary.</exception>
    public string Add(int id)
    {
        string token = _tokenizer.TokenOf(id);
        if (_skipSpecial && _tokenizer.IsSpecial(id)) return "";
        _waiting.Add(id);
        if (Decoders.IsByte(token)) return "";
        string text = New();
        return text.EndsWith('\uFFFD') ? "" : Tell(text);
    }

    /// <summary>What is still held back; the stream may then begin anew.</summary>
    public string Finish()
    {
        string rest = Tell(New());
        _context.Clear();
        return rest;
    }

    private string New()
    {
        int told = _tokenizer.Decode(_context, skipSpecial: false).Length;
        return _tokenizer.Decode([.. _context, .. _waiting], skipSpecial: false)[told..];
    }

    private string Tell(string text)
    {
        if (_waiting.Count == 0) return text;
        // As the beginning of a text it may be spaces that a decoder strips: with nothing left it would not shield the next ones.
        if (_tokenizer.Decode(_waiting, skipSpecial: false).Length > 0) _context.Clear();
        _context.AddRange(_waiting);
        _waiting.Clear();
        return text;
    }
}
