using NeuronQuant.Models;

namespace NeuronQuant.Tuning;

/// <summary>The sequences of each minibatch: shuffled, taken in turn, shuffled again when fewer than a batch remain.</summary>
/// <remarks>The rule is auto-round's (compressors/utils.py:388-438); the shuffle is Fisher and Yates' on splitmix64, so a seed means the same batches everywhere.</remarks>
internal static class Minibatches
{
    /// <summary>Minibatches without end, each the indices of <paramref name="batch"/> of <paramref name="samples"/> sequences.</summary>
    public static IEnumerable<int[]> Of(int samples, int batch, ulong seed)
    {
        int[] order = [.. Enumerable.Range(0, samples)];
        for (var random = new RandomNumbers(seed); ;)
        {
            for (int i = samples - 1; i > 0; i--)
            {
                int j = (int)(random.Uniform() * (i + 1));
                (order[i], order[j]) = (order[j], order[i]);
            }
            for (int first = 0; first + batch <= samples; first += batch) yield return order[first..(first + batch)];
        }
    }
}
