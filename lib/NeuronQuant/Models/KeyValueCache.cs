using static TorchSharp.torch;

namespace NeuronQuant.Models;

/// <summary>Keys and values of every token so far, for texts of different lengths: [texts, capacity, key-value heads, head size] for each layer.</summary>
/// <remarks>
/// Every text has a row of its own and starts at position 0 there. Rows begin as zeros, since what a mask hides still takes part in a product.
/// Where entries are rounded, a text's newest is not yet: its own query reads it as it was computed, and the next step rounds it.
/// </remarks>
internal sealed class KeyValueCache : IDisposable
{
    private readonly LlamaModel _model;
    private readonly CachePrecision? _stored;
    private Tensor[] _keys, _values;
    private Tensor _rows, _places;

    public KeyValueCache(LlamaModel model, int texts, int capacity, CachePrecision? stored = null)
    {
        (_model, _stored, Lengths) = (model, stored, new int[texts]);
        var (config, place) = (model.Config, model.Place);
        Tensor[] Make() => [.. Enumerable.Range(0, config.LayerCount)
            .Select(_ => Torch.Keep(zeros([texts, capacity, config.KeyValueHeadCount, config.HeadSize], place.Type, place.Device)))];
        (_keys, _values, _rows, _places) = (Make(), Make(), Torch.Keep(Torch.Count(texts, place.Device)), Torch.Keep(zeros(texts, int64, place.Device)));
    }

    /// <summary>Tokens of each text.</summary>
    public int[] Lengths { get; private set; }

    /// <summary>The positions of a step, in which each text gets one token.</summary>
    public Positions Step()
    {
        int longest = Lengths.Max();
        _places.copy_(tensor(Array.ConvertAll(Lengths, length => (long)length)));
        var masks = new Dictionary<int, Tensor>();
        return new Positions(_model.Rotary.AnglesAt(_places, longest + 1), window =>
        {
            if (Lengths.Length == 1 && (window is null || window > longest)) return null;
            if (masks.TryGetValue(window ?? 0, out var known)) return known;
            var distance = _places.unsqueeze(1) - Torch.Count(longest + 1, _places.device);
            return masks[window ?? 0] = Positions.Visible(distance, window, _model.Place.Type).view(Lengths.Length, 1, 1, longest + 1);
        });
    }

    /// <summary>Writes a pass's keys and values of a layer, and gives those that its queries may see.</summary>
    public (Tensor Keys, Tensor Values) Append(int layer, Tensor k, Tensor v)
    {
        if (k.shape[1] > 1 || Lengths[0] == 0)
        {
            _keys[layer].narrow(1, 0, k.shape[1]).copy_(_stored?.OfKeys(k) ?? k);
            _values[layer].narrow(1, 0, v.shape[1]).copy_(_stored?.OfValues(v) ?? v);
            return (k, v);
        }
        int longest = Lengths.Max();
        if (_stored is not null) RoundNewest(layer, _stored);
        if (Lengths.Length == 1)
        {
            _keys[layer].narrow(1, longest, 1).copy_(k);
            _values[layer].narrow(1, longest, 1).copy_(v);
        }
        else
        {
            _keys[layer].index_put_(k.squeeze(1), [_rows, _places]);
            _values[layer].index_put_(v.squeeze(1), [_rows, _places]);
        }
        return (_keys[layer].narrow(1, 0, longest + 1), _values[layer].narrow(1, 0, longest + 1));
    }

    private void RoundNewest(int layer, CachePrecision stored)
    {
        var before = _places - Torch.Whole(1);
        _keys[layer].index_put_(stored.OfKeys(_keys[layer].index(_rows, before)), [_rows, before]);
        _values[layer].index_put_(stored.OfValues(_values[layer].index(_rows, before)), [_rows, before]);
    }

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
