using System.Buffers;

namespace NeuronQuant.Tokenization;

/// <summary>Byte-pair merging of one word: again and again the pair of lowest rank, leftmost first, becomes one token.</summary>
/// <remarks>
/// Short words, which nearly all are, go through the plain loop: a search of all pairs for each merge, over ranks that are looked up once.
/// That is quadratic, and a tokenizer without a pre-tokenizer may give a whole document as one word; so long ones are a linked list of symbols
/// with a priority queue of places: n log n. An entry of the queue may be outdated when it comes up, since its symbols were merged otherwise:
/// its rank then is not the place's rank any more, and it is skipped. The order (rank, then position) is that of Hugging Face's tokenizers.
/// </remarks>
internal sealed class PairMerger(PairTable pairs)
{
    private const int Short = 64;          // Symbols; about where the queue overtakes the plain loop.
    private const int None = int.MaxValue; // The rank of a pair that does not merge.

    /// <summary>Merges in place; the result is the first so many symbols.</summary>
    public int Merge(Span<int> symbols) => symbols.Length < 2 ? symbols.Length : symbols.Length <= Short ? MergeShort(symbols) : MergeLong(symbols);

    private int MergeShort(Span<int> symbols)
    {
        Span<int> ranks = stackalloc int[Short], merged = stackalloc int[Short]; // Of the pair that begins at each place.
        int count = symbols.Length;
        for (int i = 0; i + 1 < count; i++) (ranks[i], merged[i]) = pairs.Find(symbols[i], symbols[i + 1]);
        while (Lowest(ranks[..(count - 1)]) is var at and >= 0)
        {
            symbols[at] = merged[at];
            symbols[(at + 2)..count].CopyTo(symbols[(at + 1)..]);
            ranks[(at + 1)..(count - 1)].CopyTo(ranks[at..]);
            merged[(at + 1)..(count - 1)].CopyTo(merged[at..]);
            count--;
            if (at > 0) (ranks[at - 1], merged[at - 1]) = pairs.Find(symbols[at - 1], symbols[at]);
            if (at + 1 < count) (ranks[at], merged[at]) = pairs.Find(symbols[at], symbols[at + 1]);
        }
        return count;
    }

    private static int Lowest(ReadOnlySpan<int> ranks)
    {
        int lowest = None, at = -1;
        for (int i = 0; i < ranks.Length; i++)
            if (ranks[i] < lowest) (lowest, at) = (ranks[i], i);
        return at;
    }

    private int MergeLong(Span<int> symbols)
    {
        int[] memory = ArrayPool<int>.Shared.Rent(4 * symbols.Length);
        try
        {
            var places = new Places(symbols, memory, pairs);
            places.MergeAll();
            return places.Compact();
        }
        finally
        {
            ArrayPool<int>.Shared.Return(memory);
        }
    }

    // Symbols as a linked list, with the rank of the pair that begins at each.
    private ref struct Places
    {
        private readonly PairTable _pairs;
        private readonly Span<int> _symbols, _next, _previous, _ranks, _merged;
        private readonly PriorityQueue<int, ulong> _queue = new();

        public Places(Span<int> symbols, int[] memory, PairTable pairs)
        {
            int count = symbols.Length;
            _symbols = symbols;
            _pairs = pairs;
            _next = memory.AsSpan(0, count);
            _previous = memory.AsSpan(count, count);
            _ranks = memory.AsSpan(2 * count, count);
            _merged = memory.AsSpan(3 * count, count);
            var offers = new List<(int, ulong)>(count);
            for (int i = 0; i < count; i++)
            {
                (_next[i], _previous[i], _ranks[i]) = (i + 1, i - 1, None);
                if (i + 1 < count) (_ranks[i], _merged[i]) = pairs.Find(symbols[i], symbols[i + 1]);
                if (_ranks[i] != None) offers.Add((i, Priority(_ranks[i], i)));
            }
            _queue.EnqueueRange(offers);
        }

        public void MergeAll()
        {
            while (_queue.TryDequeue(out int at, out ulong priority))
            {
                if (Priority(_ranks[at], at) != priority) continue;
                int gone = _next[at];
                _symbols[at] = _merged[at];
                (_symbols[gone], _ranks[gone]) = (-1, None);
                _next[at] = _next[gone];
                if (_next[at] < _symbols.Length) _previous[_next[at]] = at;
                if (_previous[at] >= 0) Offer(_previous[at]);
                Offer(at);
            }
        }

        public readonly int Compact()
        {
            int count = 0;
            foreach (int symbol in _symbols)
                if (symbol >= 0) _symbols[count++] = symbol;
            return count;
        }

        private readonly void Offer(int at)
        {
            _ranks[at] = None;
            if (_next[at] >= _symbols.Length) return;
            (_ranks[at], _merged[at]) = _pairs.Find(_symbols[at], _symbols[_next[at]]);
            if (_ranks[at] != None) _queue.Enqueue(at, Priority(_ranks[at], at));
        }

        private static ulong Priority(int rank, int at) => ((ulong)(uint)rank << 32) | (uint)at;
    }
}
