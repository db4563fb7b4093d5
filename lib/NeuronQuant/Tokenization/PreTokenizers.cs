namespace NeuronQuant.Tokenization;

/// <summary>A piece of text on its way to the model.</summary>
/// <param name="Text">its characters</param>
/// <param name="AtStart">whether it begins where the whole text begins</param>
internal readonly record struct Piece(string Text, bool AtStart);

/// <summary>The pre-tokenizers of tokenizer.json: how text is cut into the pieces within which BPE may merge.</summary>
/// <remarks>
/// Metaspace writes "▁" for a space and cuts before each. Its older spelling is "add_prefix_space"; the newer "prepend_scheme" says whether
/// a "▁" is put before every piece between added tokens, before the first only, or never. ByteLevel turns each byte into a character of
/// <see cref="ByteAlphabet"/>. Split and Digits cut at a pattern's matches.
/// </remarks>
internal static class PreTokenizers
{
    public const string Known = "Sequence, Split, Digits, ByteLevel, Metaspace";

    private const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    public static Func<Piece, IEnumerable<Piece>> Read(JsonComponent? component)
    {
        if (component is null) return piece => [piece];
        var cut = component.Type switch
        {
            "Sequence" => InOrder([.. component.Children("pretokenizers").Select(Read)]),
            "Split" => Splitter(component),
            "Digits" => Digits(component),
            "ByteLevel" => ByteLevel(component),
            "Metaspace" => Metaspace(component),
            _ => throw component.UnsupportedType(Known),
        };
        component.Finish();
        return cut;
    }

    private static Func<Piece, IEnumerable<Piece>> InOrder(Func<Piece, IEnumerable<Piece>>[] steps) =>
        piece => steps.Aggregate((IEnumerable<Piece>)[piece], (pieces, step) => pieces.SelectMany(step));

    private static Func<Piece, IEnumerable<Piece>> Splitter(JsonComponent component)
    {
        var pattern = SplitPattern.Read(component, "pattern");
        string behaviour = component.Text("behavior");
        bool invert = component.Flag("invert", false);
        if (!SplitBehaviour.IsKnown(behaviour)) throw component.Unsupported($"behavior {TokenizerException.Quote(behaviour)}", SplitBehaviour.Known);
        return piece => SplitBehaviour.Cut(piece, pattern.Matches(piece.Text), behaviour, invert);
    }

    private static Func<Piece, IEnumerable<Piece>> Digits(JsonComponent component)
    {
        var pattern = SplitPattern.Of(component, component.Flag("individual_digits", false) ? @"\p{N}" : @"\p{N}+");
        return piece => SplitBehaviour.Cut(piece, pattern.Matches(piece.Text), "Isolated", invert: false);
    }

    private static Func<Piece, IEnumerable<Piece>> ByteLevel(JsonComponent component)
    {
        bool prefix = component.Flag("add_prefix_space", true);
        _ = component.Flag("trim_offsets", true); // Concerns character offsets, which this library does not give.
        var pattern = component.Flag("use_regex", true) ? SplitPattern.Of(component, Gpt2) : null;
        return piece =>
        {
            if (prefix && !piece.Text.StartsWith(' ')) piece = piece with { Text = " " + piece.Text };
            var pieces = pattern is null ? [piece] : SplitBehaviour.Cut(piece, pattern.Matches(piece.Text), "Isolated", invert: false);
            return pieces.Select(part => part with { Text = ByteAlphabet.Encode(part.Text) });
        };
    }

    private static Func<Piece, IEnumerable<Piece>> Metaspace(JsonComponent component)
    {
        string mark = Mark(component);
        string scheme = Scheme(component);
        bool split = component.Flag("split", true);
        _ = component.TextOrNull("str_rep"); // Written by old versions; always the replacement again.
        return piece =>
        {
            string text = piece.Text.Replace(" ", mark, StringComparison.Ordinal);
            bool wanted = scheme == "always" || scheme == "first" && piece.AtStart;
            if (wanted && !text.StartsWith(mark, StringComparison.Ordinal)) text = mark + text;
            var marked = piece with { Text = text };
            return split ? SplitBehaviour.Cut(marked, Occurrences(text, mark), "MergedWithNext", invert: false) : [marked];
        };
    }

    /// <summary>Metaspace's replacement character, also for its decoder.</summary>
    public static string Mark(JsonComponent component)
    {
        string mark = component.Text("replacement");
        return mark.Length == 1 ? mark : throw component.Wrong($"\"replacement\": {TokenizerException.Quote(mark)}", "one character");
    }

    /// <summary>Metaspace's "always", "first" or "never", in either spelling; also for its decoder.</summary>
    public static string Scheme(JsonComponent component)
    {
        string scheme = component.TextOrNull("prepend_scheme") ?? "always";
        if (scheme is not ("always" or "first" or "never"))
            throw component.Unsupported($"prepend_scheme {TokenizerException.Quote(scheme)}", "always, first or never");
        return component.Flag("add_prefix_space", true) ? scheme : "never";
    }

    private static List<(int, int)> Occurrences(string text, string mark)
    {
        var found = new List<(int, int)>();
        for (int i = text.IndexOf(mark[0]); i >= 0; i = text.IndexOf(mark[0], i + 1)) found.Add((i, 1));
        return found;
    }
}
