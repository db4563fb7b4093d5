using NeuronQuant.Models;

namespace NeuronQuant.Tuning;

/// <summary>Chooses the sequences of each minibatch: shuffled, taken in turn, shuffled again when fewer than a batch remains.</summary>
/// <remarks>The rule is auto-round's (compressors/utils.py:388-438); the shuffle is Fisher and Yates' on splitmix64, so a seed means the same batches everywhere.</remarks>
internal sealed class IndexSampler
{
    private readonly int[] _order;
    private readonly int _batch;
    private readonly RandomNumbers _random;
    private int _next;

    public IndexSampler(int samples, int batch, ulong seed)
    {
        (_order, _batch, _random) = ([.. Enumerable.Range(0, samples)], Math.Min(batch, samples), new RandomNumbers(seed));
        Shuffle();
    }

    /// <summary>Sequences of one minibatch.</summary>
    public int BatchSize => _batch;

    /// <summary>Indices of the next minibatch; valid until the next call.</summary>
    public ReadOnlySpan<int> Next()
    {
        if (_next + _batch > _order.Length)
        {
            Shuffle();
            _next = 0;
        }
        _next += _batch;
        return _order.AsSpan(_next - _batch, _batch);
    }

    private void Shuffle()
    {
        for (int i = _order.Length - 1; i > 0; i--)
        {
            int j = (int)(_random.Uniform() * (i + 1));
            (_order[i], _order[j]) = (_order[j], _order[i]);
        }
    }
}
