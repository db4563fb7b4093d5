using Microsoft.Data.Analysis;
using NeuronQuant.Display;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Methods;

/// <summary>How large a layer's keys and values are, as a cache gets them: keys behind the rotary embedding.</summary>
/// <param name="Layer">number of the layer</param>
/// <param name="Keys">largest magnitude of each pair of features that turn together, over both and over all tokens: [key heads][head size / 2]</param>
/// <param name="Values">largest magnitude of each head: [key heads]</param>
/// <param name="KeysBeyond">keys above the largest number of Neuron's e4m3, 240: they would become infinity or NaN on the device</param>
/// <param name="ValuesBeyond">values above it</param>
/// <param name="Count">keys of the layer, and as many values</param>
public sealed record LayerCacheRange(int Layer, double[][] Keys, double[] Values, long KeysBeyond, long ValuesBeyond, long Count);

/// <summary>The range of keys and values on given texts: look at it before a cache is cast to 8 bits.</summary>
/// <remarks>
/// Models with biases on q and k (Qwen2) are known for a few key channels far above the rest, and for gibberish behind an fp8 cache (QwenLM/Qwen3 #840,
/// TensorRT-LLM #4218, vllm #41343); Llama and Mistral have no such biases.
/// </remarks>
/// <param name="Layers">each layer</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record CacheRange(IReadOnlyList<LayerCacheRange> Layers)
{
    /// <summary>Measures a model.</summary>
    /// <param name="model">the model</param>
    /// <param name="texts">token ids of each text</param>
    /// <param name="cancellation">checked before each text</param>
    public static CacheRange Measure(LlamaModel model, IReadOnlyList<int[]> texts, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        TokenBatch.Require(texts);
        var (config, layers) = (model.Config, new Layer[model.Config.LayerCount]);
        for (int i = 0; i < layers.Length; i++) layers[i] = new Layer(config.KeyValueHeadCount, config.HeadSize / 2);
        foreach (int[] text in texts)
        {
            cancellation.ThrowIfCancellationRequested();
            Torch.Run(() =>
            {
                model.Hidden(new TokenBatch(text, [], 1), (name, output) =>
                {
                    if (name.EndsWith("self_attn.k_proj", StringComparison.Ordinal)) layers[LayerOf(name)].SeeKeys(output);
                    else if (name.EndsWith("self_attn.v_proj", StringComparison.Ordinal)) layers[LayerOf(name)].SeeValues(output);
                });
            });
        }
        return new CacheRange([.. layers.Select((layer, i) => layer.Result(i))]);
    }

    /// <summary>A row for each layer; those with something beyond the range stand out.</summary>
    public DataFrame ToDataFrame() => Frames.From("Keys and values as a cache gets them", Layers,
            ("layer", layer => layer.Layer), (new Column("largest key", "0.0"), layer => layer.Keys.Max(head => head.Max())),
            (new Column("largest value", "0.0"), layer => layer.Values.Max()), ("keys above 240", layer => layer.KeysBeyond),
            ("values above 240", layer => layer.ValuesBeyond), ("of", layer => layer.Count))
        .Mark(row => row[3] is > 0L || row[4] is > 0L);

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The table as text.</summary>
    public override string ToString() => ToDataFrame().ToText();

    private static int LayerOf(string name) => int.Parse(name.Split('.')[1], System.Globalization.CultureInfo.InvariantCulture);

    private sealed class Layer(int heads, int pairs)
    {
        private readonly double[][] _keys = [.. Enumerable.Range(0, heads).Select(_ => new double[pairs])];
        private readonly double[] _values = new double[heads];
        private long _keysBeyond, _valuesBeyond, _count;

        // [1, length, heads, size]; feature i turns with feature i + size / 2.
        public void SeeKeys(Tensor keys)
        {
            var sizes = keys.abs();
            float[] largest = sizes.view(-1, heads, 2, pairs).amax([0L, 2L]).ToFloats();
            for (int head = 0; head < heads; head++)
                for (int pair = 0; pair < pairs; pair++) _keys[head][pair] = Math.Max(_keys[head][pair], largest[(head * pairs) + pair]);
            (_keysBeyond, _count) = (_keysBeyond + Beyond(sizes), _count + sizes.numel());
        }

        public void SeeValues(Tensor values)
        {
            var sizes = values.abs();
            float[] largest = sizes.reshape(-1, heads, 2 * pairs).amax([0L, 2L]).ToFloats();
            for (int head = 0; head < heads; head++) _values[head] = Math.Max(_values[head], largest[head]);
            _valuesBeyond += Beyond(sizes);
        }

        public LayerCacheRange Result(int layer) => new(layer, _keys, _values, _keysBeyond, _valuesBeyond, _count);

        private static long Beyond(Tensor sizes) => sizes.gt(Torch.Number(CastFormat.E4M3.Largest)).sum().item<long>();
    }
}
