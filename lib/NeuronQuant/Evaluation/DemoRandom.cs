namespace NeuronQuant.Evaluation;

/// <summary>SplitMix64: a small random generator whose numbers are the same on every platform and in every version.</summary>
/// <remarks>
/// The state grows by 2^64 / golden ratio and is mixed by two multiplications (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014). System.Random promises no such stability, and a demo model must meet the problems that it was trained for.
/// </remarks>
internal sealed class DemoRandom(ulong seed)
{
    private ulong _state = seed;

    /// <summary>64 random bits.</summary>
    public ulong Next() => Mix(_state += 0x9E3779B97F4A7C15);

    /// <summary>A number from least to most, both included; values are drawn again where a remainder would favour some.</summary>
    public int Between(int least, int most)
    {
        ulong count = (ulong)(most - least + 1);
        ulong limit = ulong.MaxValue - (ulong.MaxValue % count);
        ulong value = Next();
        while (value >= limit) value = Next();
        return least + (int)(value % count);
    }

    /// <summary>One of the items.</summary>
    public T Pick<T>(IReadOnlyList<T> items) => items[Between(0, items.Count - 1)];

    /// <summary>The mixing step alone, as a hash of 64 bits.</summary>
    public static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
