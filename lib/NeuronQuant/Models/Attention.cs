using NeuronQuant.Tensors;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace NeuronQuant.Models;

/// <summary>What attention must know of positions, made once for all layers of a pass: angles, and who may see whom.</summary>
/// <param name="Angles">cosines and sines of the rotary embedding</param>
/// <param name="Mask">for a sliding window, 0 where a query may see a key, else -infinity, [1 or texts, 1, length, seen]; null where plain causality of whole texts is meant</param>
public sealed record Positions((Tensor Cosines, Tensor Sines) Angles, Func<int?, Tensor?> Mask)
{
    /// <summary>Positions of texts of one length, or of their rest behind what a cache holds. Texts padded at their end need no mask: nothing real sees what comes later.</summary>
    public static Positions Of(RotaryEmbedding rotary, long length, Placement place, long first = 0)
    {
        ArgumentNullException.ThrowIfNull(rotary);
        var masks = new Dictionary<int, Tensor>();
        return new Positions(rotary.Angles(length, first), window =>
        {
            if (first == 0 && (window is not int width || width >= length)) return null;
            if (masks.TryGetValue(window ?? 0, out var known)) return known;
            var keys = Torch.Count(first + length, place.Device);
            return masks[window ?? 0] = Visible(keys.narrow(0, first, length).unsqueeze(1) - keys, window, place.Type).view(1, 1, length, first + length);
        });
    }

    /// <summary>0 where 0 &lt;= distance &lt; window, else -infinity.</summary>
    internal static Tensor Visible(Tensor distance, int? window, ScalarType type)
    {
        var hidden = distance.lt(Torch.Whole(0));
        if (window is int width) hidden = hidden.logical_or(distance.ge(Torch.Whole(width)));
        return zeros(distance.shape, type, distance.device).masked_fill_(hidden, Torch.Number(double.NegativeInfinity));
    }
}

/// <summary>Grouped-query attention of one layer: softmax(q k^T / sqrt(head size)) v, causal, several query heads to each key-value head.</summary>
/// <remarks>
/// Vaswani et al., 2017; Ainslie et al., "GQA", 2023. The products, the softmax and the sum are torch's fused kernel, but for short texts in bfloat16 on
/// a processor: there that kernel is twice as slow as its four steps, and its gradient four times (8 texts of 117 tokens, 4 heads of 32). A token each of
/// several texts goes in steps there too, with float32 scores: the kernel takes up to twice as long for 64 texts of 256, which share key heads.
/// The token of one text is mixed in float32, three times as fast at 512 keys.
/// </remarks>
internal static class Attention
{
    private const int ShortText = 512; // Tokens. Beyond, the steps' [heads, length, length] scores cost more than the kernel does.

    /// <summary>The mixed values, [texts, length, heads * size], which o_proj reads.</summary>
    /// <param name="q">[texts, length, heads, size], turned</param>
    /// <param name="k">[texts, seen, key-value heads, size], turned</param>
    /// <param name="v">[texts, seen, key-value heads, size]</param>
    /// <param name="mask">see <see cref="Positions"/></param>
    public static Tensor Mix(Tensor q, Tensor k, Tensor v, Tensor? mask)
    {
        long texts = q.shape[0], length = q.shape[1], heads = q.shape[2], size = q.shape[3], keyHeads = k.shape[2], group = heads / keyHeads;
        bool processor = q.device_type == TorchSharp.DeviceType.CPU, slow = processor && q.dtype == ScalarType.BFloat16;
        Tensor Wide(Tensor t) => slow ? t.to(ScalarType.Float32) : t;
        if (length == 1 && processor && texts > 1) // One of each text, in steps. The rows of a cache that is read whole are not copied.
        {
            Tensor Rows(Tensor t) => t.transpose(1, 2).reshape(texts * keyHeads, -1, size);
            var scores = Wide(q).reshape(texts * keyHeads, group, size).bmm(Wide(Rows(k)).transpose(1, 2)).mul_(Torch.Number(1 / Math.Sqrt(size)));
            if (mask is not null) scores.view(texts, keyHeads, group, -1).Plus_(mask);
            return scores.softmax(-1).to(q.dtype).bmm(Rows(v)).view(texts, 1, heads * size);
        }
        if (length == 1) // The query heads that share a key head are rows of one product.
            return F.scaled_dot_product_attention(Wide(q.view(texts, keyHeads, group, size)), Wide(k).transpose(1, 2), Wide(v).transpose(1, 2), mask is null ? null! : Wide(mask))
                .to(q.dtype).view(texts, 1, heads * size);
        if (mask is null && slow && length <= ShortText) return InSteps(q, k, v);
        Tensor Spread(Tensor t) => (group == 1 ? t : t.unsqueeze(3).expand(texts, t.shape[1], keyHeads, group, size).reshape(texts, t.shape[1], heads, size)).transpose(1, 2);
        return F.scaled_dot_product_attention(q.transpose(1, 2), Spread(k), Spread(v), mask!, is_casual: mask is null).transpose(1, 2).reshape(texts, length, heads * size);
    }

    /// <summary>
    /// The mixed values when each query reads earlier keys and values as a cache stored them, and its own as they were computed: what decoding a
    /// token at a time gives, in one pass. [texts, length, heads * size].
    /// </summary>
    /// <param name="q">[texts, length, heads, size], turned</param>
    /// <param name="k">[texts, length, key-value heads, size], turned</param>
    /// <param name="v">[texts, length, key-value heads, size]</param>
    /// <param name="mask">see <see cref="Positions"/></param>
    /// <param name="stored">how the cache rounds</param>
    /// <param name="fresh">[texts, length, 1] true where a query reads all keys and values as they were computed; null for nowhere</param>
    public static Tensor MixStored(Tensor q, Tensor k, Tensor v, Tensor? mask, CachePrecision stored, Tensor? fresh)
    {
        long texts = q.shape[0], length = q.shape[1], heads = q.shape[2], size = q.shape[3], keyHeads = k.shape[2], group = heads / keyHeads;
        Tensor ByHead(Tensor t) => t.permute(0, 2, 1, 3).reshape(texts * keyHeads, length, size);
        var (keys, values, key, value) = (ByHead(stored.OfKeys(k)), ByHead(stored.OfValues(v)), ByHead(k), ByHead(v));
        var rows = (q * Torch.Number(1 / Math.Sqrt(size))).view(texts, length, keyHeads, group, size).permute(0, 2, 3, 1, 4).reshape(texts * keyHeads, group, length, size);
        var scores = rows.reshape(-1, group * length, size).bmm(keys.transpose(1, 2)).view(-1, group, length, length);
        scores.diagonal(0, -2, -1).copy_((rows * key.unsqueeze(1)).sum(-1));
        var places = Torch.Count(length, q.device);
        var visible = mask?.view(length, length) ?? Positions.Visible(places.unsqueeze(1) - places, null, q.dtype);
        var shares = scores.Plus_(visible).softmax(-1);
        var own = shares.diagonal(0, -2, -1).unsqueeze(-1) * (value - values).unsqueeze(1);
        var mixed = shares.view(-1, group * length, length).bmm(values).view(-1, group, length, size).Plus(own)
            .view(texts, keyHeads, group, length, size).permute(0, 3, 1, 2, 4).reshape(texts, length, heads * size);
        return fresh is null ? mixed : where(fresh, Mix(q, k, v, mask), mixed);
    }

    // softmax(q k^T / sqrt(size) + causal) v, one step after another; the query heads that share a key head are rows of one product.
    private static Tensor InSteps(Tensor q, Tensor k, Tensor v)
    {
        long texts = q.shape[0], length = q.shape[1], heads = q.shape[2], size = q.shape[3], keyHeads = k.shape[2], group = heads / keyHeads;
        var rows = q.view(texts, length, keyHeads, group, size).permute(0, 2, 3, 1, 4).reshape(texts * keyHeads, group * length, size);
        var places = Torch.Count(length, q.device);
        var visible = Positions.Visible(places.unsqueeze(1) - places, null, q.dtype).expand(group, length, length).reshape(group * length, length);
        var shares = rows.baddbmm(k.permute(0, 2, 3, 1).reshape(texts * keyHeads, size, length), visible, alpha: (float)(1 / Math.Sqrt(size))).softmax(-1);
        return shares.bmm(v.permute(0, 2, 1, 3).reshape(texts * keyHeads, length, size))
            .view(texts, keyHeads, group, length, size).permute(0, 3, 1, 2, 4).reshape(texts, length, heads * size);
    }
}
