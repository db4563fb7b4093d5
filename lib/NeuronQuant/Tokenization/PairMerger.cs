namespace NeuronQuant.Tokenization;

/// <summary>Byte-pair merging of one word: again and again the pair of lowest rank, leftmost first, becomes one token.</summary>
/// <remarks>
/// The plain loop searches all pairs for each merge and is quadratic; Llama-2 has no pre-tokenizer, so a whole document is one word. Here the
/// symbols are a linked list and the possible merges a priority queue: n log n. An entry of the queue may be outdated when it comes up, since
/// its symbols were merged otherwise; it is then skipped. The order (rank, then position) is that of Hugging Face's tokenizers.
/// </remarks>
internal sealed class PairMerger
{
    private readonly Dictionary<long, (int Rank, int Merged)> _merges;

    public PairMerger(Dictionary<long, (int Rank, int Merged)> merges) => _merges = merges;

    public static long Key(int left, int right) => ((long)left << 32) | (uint)right;

    /// <summary>Merges in place; the result is the first so many symbols.</summary>
    public int Merge(Span<int> symbols)
    {
        if (symbols.Length < 2) return symbols.Length;
        var next = new int[symbols.Length];
        var previous = new int[symbols.Length];
        for (int i = 0; i < symbols.Length; i++) (next[i], previous[i]) = (i + 1, i - 1);
        var queue = new PriorityQueue<(int Position, int Left, int Right), (int Rank, int Position)>();
        for (int i = 0; i + 1 < symbols.Length; i++) Offer(queue, symbols, i, i + 1);
        while (queue.TryDequeue(out var entry, out _))
        {
            int position = entry.Position;
            int right = next[position];
            if (symbols[position] != entry.Left || right >= symbols.Length || symbols[right] != entry.Right) continue;
            symbols[position] = _merges[Key(entry.Left, entry.Right)].Merged;
            symbols[right] = -1; // Gone: no entry can match it any more.
            next[position] = next[right];
            if (next[position] < symbols.Length) previous[next[position]] = position;
            if (previous[position] >= 0) Offer(queue, symbols, previous[position], position);
            if (next[position] < symbols.Length) Offer(queue, symbols, position, next[position]);
        }
        return Compact(symbols);
    }

    private void Offer(PriorityQueue<(int, int, int), (int, int)> queue, Span<int> symbols, int left, int right)
    {
        if (_merges.TryGetValue(Key(symbols[left], symbols[right]), out var merge))
            queue.Enqueue((left, symbols[left], symbols[right]), (merge.Rank, left));
    }

    private static int Compact(Span<int> symbols)
    {
        int count = 0;
        foreach (int symbol in symbols)
            if (symbol >= 0) symbols[count++] = symbol;
        return count;
    }
}
