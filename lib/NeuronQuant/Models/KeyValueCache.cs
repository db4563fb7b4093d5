using NeuronQuant.Checkpoints;

namespace NeuronQuant.Models;

/// <summary>Keys and values of every token so far, for several texts of different lengths.</summary>
/// <remarks>
/// Every text has a row of its own and starts at position 0 there, so nothing is shifted or masked; 8 * layers * key width bytes a token.
/// Attention of a step reads a row up to its own position: rows and key-value heads are shared out to the cores.
/// </remarks>
internal sealed class KeyValueCache
{
    private readonly ModelConfig _config;
    private readonly float[][] _keys, _values; // For each layer [rows, capacity, key-value heads * head size].

    public KeyValueCache(ModelConfig config, int rows, int capacity)
    {
        (_config, Capacity, Lengths) = (config, capacity, new int[rows]);
        int size = checked(rows * capacity * config.KeyValueSize);
        _keys = [.. Enumerable.Range(0, config.LayerCount).Select(_ => new float[size])];
        _values = [.. Enumerable.Range(0, config.LayerCount).Select(_ => new float[size])];
    }

    public int Capacity { get; }

    /// <summary>Tokens in each row.</summary>
    public int[] Lengths { get; }

    /// <summary>Writes keys and values of consecutive tokens of one row, [tokens, key width], from a position on.</summary>
    public void Write(int layer, int row, int position, ReadOnlySpan<float> keys, ReadOnlySpan<float> values)
    {
        int start = (row * Capacity + position) * _config.KeyValueSize;
        keys.CopyTo(_keys[layer].AsSpan(start));
        values.CopyTo(_values[layer].AsSpan(start));
    }

    /// <summary>Attention of one new token of each listed row, whose key and value are already written at its position.</summary>
    /// <param name="layer">layer</param>
    /// <param name="rows">rows of the cache, one for each row of q</param>
    /// <param name="count">how many of them</param>
    /// <param name="q">[count, heads * head size], turned</param>
    /// <param name="y">[count, heads * head size]</param>
    public void Attend(int layer, int[] rows, int count, float[] q, float[] y)
    {
        var work = new Work(this, layer, rows, q, y);
        ThreadTeam.Run(ref work, count * _config.KeyValueHeadCount);
    }

    private readonly unsafe struct Work(KeyValueCache cache, int layer, int[] rows, float[] q, float[] y) : IWork
    {
        public void Part(int part)
        {
            var config = cache._config;
            int i = part / config.KeyValueHeadCount, keyHead = part % config.KeyValueHeadCount, group = config.HeadCount / config.KeyValueHeadCount;
            int last = cache.Lengths[rows[i]], first = config.SlidingWindowOf(layer) is int window ? Math.Max(0, last - window + 1) : 0;
            int start = (rows[i] * cache.Capacity + first) * config.KeyValueSize + keyHead * config.HeadSize;
            var scores = new Span<float>(Scratch.Get(ScratchUse.Scores, cache.Capacity), last + 1 - first);
            for (int head = keyHead * group; head < (keyHead + 1) * group; head++)
            {
                int place = (i * config.HeadCount + head) * config.HeadSize;
                Head(q.AsSpan(place, config.HeadSize), cache._keys[layer].AsSpan(start), cache._values[layer].AsSpan(start), scores,
                    y.AsSpan(place, config.HeadSize), config.KeyValueSize);
            }
        }

        private static void Head(ReadOnlySpan<float> q, ReadOnlySpan<float> keys, ReadOnlySpan<float> values, Span<float> scores, Span<float> y, int stride)
        {
            for (int j = 0; j < scores.Length; j++) scores[j] = VectorMath.Dot(q, keys.Slice(j * stride, q.Length));
            Attention.Softmax(scores, 0, scores.Length, 1f / MathF.Sqrt(q.Length));
            y.Clear();
            for (int j = 0; j < scores.Length; j++) VectorMath.AddScaled(y, values.Slice(j * stride, q.Length), scores[j]);
        }
    }
}
