using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Models;

/// <summary>Keys and values of every token so far, for texts of different lengths: [texts, key-value heads, positions, head size] for each layer.</summary>
/// <remarks>
/// A head's entries lie next to each other, since a step reads them head by head: a fifth faster than position by position (250 texts of 100 tokens).
/// Every text has a row of its own and starts at position 0 there. Rows begin as zeros, since what a mask hides still takes part in a product, and grow with the
/// longest text: memory that is never read is never touched.
/// Where entries are rounded, a text's newest is not yet: its own query reads it as it was computed, and the next step rounds it.
/// </remarks>
internal sealed class KeyValueCache : IDisposable
{
    private const int More = 64; // Positions that rows grow by.

    private readonly LlamaModel _model;
    private readonly CachePrecision? _stored;
    private Tensor[] _keys, _values;
    private Tensor _rows, _places;

    /// <param name="model">whose blocks write here</param>
    /// <param name="texts">how many</param>
    /// <param name="positions">of the longest text at first</param>
    /// <param name="stored">how entries are rounded; null for not at all</param>
    public KeyValueCache(LlamaModel model, int texts, int positions, CachePrecision? stored = null)
    {
        (_model, _stored, Lengths) = (model, stored, new int[texts]);
        var (config, place) = (model.Config, model.Place);
        Tensor[] Make() => [.. Enumerable.Range(0, config.LayerCount)
            .Select(_ => Torch.Keep(zeros([texts, config.KeyValueHeadCount, positions, config.HeadSize], place.Type, place.Device)))];
        (_keys, _values, _rows, _places) = (Make(), Make(), Torch.Keep(Torch.Count(texts, place.Device)), Torch.Keep(zeros(texts, int64, place.Device)));
    }

    private KeyValueCache(KeyValueCache cache, int first, int count)
    {
        (_model, _stored, Lengths, Shared) = (cache._model, cache._stored, new int[count], cache.Shared);
        Tensor Rows(Tensor all) => all.narrow(0, first, count);
        (_keys, _values, _rows, _places) = ([.. cache._keys.Select(Rows)], [.. cache._values.Select(Rows)], Rows(cache._rows), Rows(cache._places));
    }

    /// <summary>Some texts of it, to be filled for themselves; lives as long as the dispose scope.</summary>
    public KeyValueCache Part(int first, int count) => new(this, first, count);

    /// <summary>Tokens of each text.</summary>
    public int[] Lengths { get; private set; }

    /// <summary>Positions that every text has before its prompt is read: a beginning of all prompts.</summary>
    public int Shared { get; private set; }

    /// <summary>Gives all texts what the first one has at its first positions.</summary>
    public void Share(int positions)
    {
        Shared = positions;
        using var scope = NewDisposeScope();
        foreach (var read in ((Tensor[])[.. _keys, .. _values]).Select(all => all.narrow(2, 0, positions)))
            read.narrow(0, 1, Lengths.Length - 1).copy_(read.narrow(0, 0, 1));
    }

    // What a step sees: of several texts whole rows, the rest of each behind the mask, since contiguous they multiply several times as fast.
    private long Held => Lengths.Length == 1 ? Lengths[0] + 1 : _keys[0].shape[2];

    /// <summary>The positions of a step, in which each text gets one token.</summary>
    public Positions Step()
    {
        int longest = Lengths.Max();
        if (longest >= _keys[0].shape[2]) (_keys, _values) = ([.. _keys.Select(Longer)], [.. _values.Select(Longer)]);
        _places.copy_(tensor(Array.ConvertAll(Lengths, length => (long)length)));
        var masks = new Dictionary<int, Tensor>();
        return new Positions(_model.Rotary.AnglesAt(_places, longest + 1), window =>
        {
            if (Lengths.Length == 1 && (window is null || window > longest)) return null;
            if (masks.TryGetValue(window ?? 0, out var known)) return known;
            var distance = _places.unsqueeze(1) - Torch.Count(Held, _places.device);
            return masks[window ?? 0] = Positions.Visible(distance, window, _model.Place.Type).view(Lengths.Length, 1, 1, Held);
        });
    }

    /// <summary>Writes a pass's keys and values of a layer, and gives those that its queries may see.</summary>
    public (Tensor Keys, Tensor Values) Append(int layer, Tensor k, Tensor v)
    {
        if (k.shape[1] > 1 || Lengths[0] == 0)
        {
            Tensor Here(Tensor all) => all.narrow(2, Shared, k.shape[1]).transpose(1, 2);
            Here(_keys[layer]).copy_(_stored?.OfKeys(k) ?? k);
            Here(_values[layer]).copy_(_stored?.OfValues(v) ?? v);
            return Shared == 0 ? (k, v) : Seen(layer, Shared + k.shape[1]);
        }
        if (_stored is not null) RoundNewest(layer, _stored);
        Put(_keys[layer], k.squeeze(1), _places);
        Put(_values[layer], v.squeeze(1), _places);
        return Seen(layer, Held);
    }

    private (Tensor Keys, Tensor Values) Seen(int layer, long positions) =>
        (_keys[layer].narrow(2, 0, positions).transpose(1, 2), _values[layer].narrow(2, 0, positions).transpose(1, 2));

    private static Tensor Longer(Tensor all)
    {
        using (all) return Torch.Keep(cat([all, zeros([all.shape[0], all.shape[1], More, all.shape[3]], all.dtype, all.device)], 2));
    }

    private void RoundNewest(int layer, CachePrecision stored)
    {
        var before = _places - Torch.Whole(1);
        Tensor Newest(Tensor all) => all.index(TensorIndex.Tensor(_rows), TensorIndex.Colon, TensorIndex.Tensor(before));
        Put(_keys[layer], stored.OfKeys(Newest(_keys[layer])), before);
        Put(_values[layer], stored.OfValues(Newest(_values[layer])), before);
    }

    // One entry a text, [texts, heads, size], at the given places.
    private void Put(Tensor all, Tensor entries, Tensor places) => all.index_put_(entries, TensorIndex.Tensor(_rows), TensorIndex.Colon, TensorIndex.Tensor(places));

    /// <summary>Keeps these texts alone.</summary>
    public void Keep(int[] texts)
    {
        using var index = tensor(Array.ConvertAll(texts, text => (long)text)).to(_rows.device);
        Tensor Kept(Tensor all)
        {
            using (all) return Torch.Keep(all.index_select(0, index));
        }
        (_keys, _values, _places) = ([.. _keys.Select(Kept)], [.. _values.Select(Kept)], Kept(_places));
        _rows.Dispose();
        (_rows, Lengths) = (Torch.Keep(Torch.Count(texts.Length, _places.device)), [.. texts.Select(text => Lengths[text])]);
    }

    public void Dispose()
    {
        foreach (var one in (Tensor[])[.. _keys, .. _values, _rows, _places]) one.Dispose();
    }
}
