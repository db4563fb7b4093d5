namespace NeuronQuant.Tokenization;

/// <summary>What pairs of tokens merge to: a hash table from two ids to rank and merged id.</summary>
/// <remarks>
/// A dictionary of long hashes a key as its halves XOR each other, so that all doubled tokens (two spaces, "aa") fall into one bucket and a
/// run of them is slow beyond measure. Here the key is multiplied by 2^64 divided by the golden ratio and its upper bits are taken
/// (Fibonacci hashing), and collisions go to the next place; at most half of the places are taken.
/// </remarks>
internal sealed class PairTable
{
    private const ulong Golden = 0x9E3779B97F4A7C15; // 2^64 / golden ratio, rounded to odd.
    private const long Free = -1;                    // No pair: ids are not negative.

    private readonly (long Key, int Rank, int Merged)[] _places;
    private readonly int _shift;

    /// <summary>A table for so many pairs.</summary>
    public PairTable(int count)
    {
        int bits = Math.Max(4, 1 + (int)Math.Ceiling(Math.Log2(Math.Max(1, count))));
        _shift = 64 - bits;
        _places = new (long, int, int)[1 << bits];
        Array.Fill(_places, (Free, 0, 0));
    }

    /// <summary>Two ids as one number.</summary>
    public static long Key(int left, int right) => ((long)left << 32) | (uint)right;

    /// <summary>Says what a pair merges to; the last word counts.</summary>
    public void Set(int left, int right, int rank, int merged) => _places[PlaceOf(Key(left, right))] = (Key(left, right), rank, merged);

    /// <summary>Rank and merged id of a pair; rank <see cref="int.MaxValue"/> for one that does not merge.</summary>
    public (int Rank, int Merged) Find(int left, int right)
    {
        var (key, rank, merged) = _places[PlaceOf(Key(left, right))];
        return key == Free ? (int.MaxValue, 0) : (rank, merged);
    }

    // Where the key stands or would stand.
    private int PlaceOf(long key)
    {
        int place = (int)(((ulong)key * Golden) >> _shift);
        while (_places[place].Key != key && _places[place].Key != Free) place = (place + 1) & (_places.Length - 1);
        return place;
    }

    /// <summary>The same hash for dictionaries of pairs that grow and shrink, as the trainer's.</summary>
    public sealed class Comparer : IEqualityComparer<long>
    {
        public bool Equals(long x, long y) => x == y;

        public int GetHashCode(long obj) => (int)(((ulong)obj * Golden) >> 32);
    }
}
