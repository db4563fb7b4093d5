using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace NeuronQuant.Tokenization;

/// <summary>Learns a small byte-level BPE from texts and writes it as a tokenizer.json.</summary>
/// <remarks>
/// <para>The texts are cut into pieces by <see cref="Pattern"/>, the pieces into bytes; then the pair of neighbours that is most frequent
/// over all pieces becomes a token, again and again, until the vocabulary is full. Of equally frequent pairs the one with the smaller left
/// id wins, then the smaller right id: the same texts give the same file everywhere. A digit is always a piece of its own, so numbers are
/// read digit by digit and arithmetic can be learned. Ids: the special tokens, the 256 bytes in order, the merges in order.</para>
/// <para>Pieces are counted once, and each merge visits only the pieces that hold its pair. Left out: everything that a vocabulary of more
/// than a few thousand would need (a queue for the search of the best pair, limits to the alphabet).</para>
/// </remarks>
public sealed class BpeTrainer
{
    /// <summary>How text is cut: words with the space before them, single digits, signs, line ends, other white space.</summary>
    public const string Pattern = @" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Begins a text; id 0.</summary>
    public const string BeginToken = "<s>";

    /// <summary>Ends a text; id 1.</summary>
    public const string EndToken = "</s>";

    /// <summary>Fills a batch; id 2.</summary>
    public const string PadToken = "<pad>";

    private const int LeastFrequency = 2; // A pair seen once is chance.

    private readonly List<(int[] Symbols, long Count)> _pieces = [];
    private readonly Dictionary<long, long> _counts = new(new PairTable.Comparer());
    private readonly Dictionary<long, HashSet<int>> _places = new(new PairTable.Comparer());
    private readonly List<string> _tokens = [BeginToken, EndToken, PadToken];
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly List<(string Left, string Right)> _merges = [];

    private BpeTrainer(IEnumerable<string> texts)
    {
        for (int value = 0; value < 256; value++) _tokens.Add(ByteAlphabet.CharacterOf((byte)value).ToString());
        for (int id = 0; id < _tokens.Count; id++) _ids.Add(_tokens[id], id);
        foreach (var (piece, count) in Count(texts).OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            _pieces.Add(([.. ByteAlphabet.Encode(piece).Select(c => _ids[c.ToString()])], count));
            Add(_pieces.Count - 1, +1);
        }
    }

    /// <summary>Learns a vocabulary and writes tokenizer.json and tokenizer_config.json.</summary>
    /// <param name="texts">the texts, read once</param>
    /// <param name="vocabularySize">tokens in all: 3 special ones, 256 bytes, the rest merges; fewer when no pair occurs twice</param>
    /// <param name="folder">where the two files go; made when it is not there</param>
    /// <returns>the tokenizer, read back from the files</returns>
    /// <exception cref="ArgumentOutOfRangeException">The size is below 259.</exception>
    public static Tokenizer Train(IEnumerable<string> texts, int vocabularySize, string folder)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabularySize, 259);
        var trainer = new BpeTrainer(texts);
        while (trainer._tokens.Count < vocabularySize && trainer.Best() is { } pair) trainer.Merge(pair);
        TokenizerWriter.Write(folder, trainer._tokens, trainer._merges);
        return Tokenizer.Load(folder);
    }

    private static Dictionary<string, long> Count(IEnumerable<string> texts)
    {
        var pattern = new Regex(Pattern, RegexOptions.CultureInvariant | RegexOptions.Compiled);
        var counts = new Dictionary<string, long>(StringComparer.Ordinal);
        var byText = counts.GetAlternateLookup<ReadOnlySpan<char>>();
        foreach (string text in texts)
            foreach (var match in pattern.EnumerateMatches(text))
                CollectionsMarshal.GetValueRefOrAddDefault(byText, text.AsSpan(match.Index, match.Length), out _)++;
        return counts;
    }

    private (int Left, int Right)? Best()
    {
        long best = 0;
        long most = LeastFrequency - 1;
        foreach (var (key, count) in _counts)
            if (count > most || count == most && best != 0 && key < best) (best, most) = (key, count);
        return most < LeastFrequency ? null : ((int)(best >> 32), (int)(uint)best);
    }

    private void Merge((int Left, int Right) pair)
    {
        // Two pairs may spell the same token ("ab" "c", "a" "bc"): it keeps its one id.
        string token = _tokens[pair.Left] + _tokens[pair.Right];
        if (_ids.TryAdd(token, _tokens.Count)) _tokens.Add(token);
        int merged = _ids[token];
        _merges.Add((_tokens[pair.Left], _tokens[pair.Right]));
        foreach (int piece in _places[PairTable.Key(pair.Left, pair.Right)].ToArray())
        {
            Add(piece, -1);
            _pieces[piece] = (Replace(_pieces[piece].Symbols, pair, merged), _pieces[piece].Count);
            Add(piece, +1);
        }
    }

    // Counts a piece's pairs in or out.
    private void Add(int piece, int sign)
    {
        var (symbols, count) = _pieces[piece];
        for (int i = 0; i + 1 < symbols.Length; i++)
        {
            long key = PairTable.Key(symbols[i], symbols[i + 1]);
            long now = _counts.GetValueOrDefault(key) + (sign * count);
            if (now == 0) _counts.Remove(key);
            else _counts[key] = now;
            if (sign < 0) _places[key].Remove(piece);
            else (_places.TryGetValue(key, out var places) ? places : _places[key] = []).Add(piece);
        }
    }

    private static int[] Replace(int[] symbols, (int Left, int Right) pair, int merged)
    {
        var replaced = new List<int>(symbols.Length);
        for (int i = 0; i < symbols.Length; i++)
        {
            bool here = i + 1 < symbols.Length && symbols[i] == pair.Left && symbols[i + 1] == pair.Right;
            replaced.Add(here ? merged : symbols[i]);
            if (here) i++;
        }
        return [.. replaced];
    }
}
