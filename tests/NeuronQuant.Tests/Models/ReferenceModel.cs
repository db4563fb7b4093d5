using NeuronQuant.Checkpoints;
using NeuronQuant.Evaluation;

namespace NeuronQuant.Models;

/// <summary>The model again, slow and readable: float64, one sequence, straight loops, nothing shared with the fast path but the weights.</summary>
/// <remarks>
/// It is what the model is compared with, and what gradients are differences of. Parameters are copied as float64 and may be
/// changed through <see cref="Values"/>. Rotary frequencies are those of <see cref="RotaryEmbedding"/>, which tests check by themselves.
/// A 260K-parameter model computes some hundred tokens a second; use it for tens of tokens.
/// </remarks>
public sealed class ReferenceModel
{
    private readonly ModelConfig _config;
    private readonly IReadOnlyList<double> _frequencies;
    private readonly string _head;

    /// <summary>A copy of a model.</summary>
    public ReferenceModel(LlamaModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        (_config, _frequencies, _head) = (model.Config, model.Rotary.Frequencies, model.Head.Weight.Name);
        Values = model.Parameters.ToDictionary(p => p.Name, p => Array.ConvertAll(p.ToArray(), value => (double)value), StringComparer.Ordinal);
    }

    /// <summary>Parameters by name, in C order.</summary>
    public IReadOnlyDictionary<string, double[]> Values { get; }

    /// <summary>What a cache makes of a key and of a value; earlier tokens are read so, and a token's own as they are.</summary>
    public (Func<double, double> Key, Func<double, double> Value) Stored { get; init; } = (key => key, value => value);

    /// <summary>What a linear module (its name in a checkpoint) reads instead of one token's input.</summary>
    public Func<string, double[], double[]> Read { get; init; } = (_, input) => input;

    /// <summary>Logits of every position of one sequence.</summary>
    /// <param name="tokens">[length]</param>
    /// <param name="see">called with each module's name and output, [length, width], in the order of the pass; null for none</param>
    /// <returns>[length, vocabulary]</returns>
    public double[] Logits(ReadOnlySpan<int> tokens, Action<string, double[]>? see = null)
    {
        int hidden = _config.HiddenSize, length = tokens.Length;
        var x = new double[length * hidden];
        for (int t = 0; t < length; t++) Values["model.embed_tokens.weight"].AsSpan(tokens[t] * hidden, hidden).CopyTo(x.AsSpan(t * hidden));
        see?.Invoke("embed_tokens", x);
        for (int layer = 0; layer < _config.LayerCount; layer++) x = Block(x, length, layer, see);
        var normed = Norm(x, "model.norm", length);
        see?.Invoke("norm", normed);
        var logits = Multiply(normed, Values[_head], length, hidden, _config.VocabularySize);
        see?.Invoke("lm_head", logits);
        return logits;
    }

    /// <summary>A model with its reference, module by module.</summary>
    public static ModelComparison Compare(LlamaModel model, int[] tokens, double tolerance)
    {
        var expected = new Dictionary<string, double[]>();
        new ReferenceModel(model).Logits(tokens, (name, output) => expected[name] = output);
        return ModelComparison.With(expected, model, tokens, tolerance);
    }

    /// <summary>Mean loss over the positions of a batch that have a target, nats per token.</summary>
    public double Loss(TokenBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        double total = 0;
        int counted = 0, vocabulary = _config.VocabularySize;
        for (int s = 0; s < batch.Sequences; s++)
        {
            var logits = Logits(batch.Tokens.AsSpan(s * batch.Length, batch.Length));
            for (int t = 0; t < batch.Length; t++)
            {
                int target = batch.Targets[s * batch.Length + t];
                if (target == TokenBatch.Ignored) continue;
                var row = logits.AsSpan(t * vocabulary, vocabulary).ToArray();
                double largest = row.Max();
                total += largest + Math.Log(row.Sum(z => Math.Exp(z - largest))) - row[target];
                counted++;
            }
        }
        return total / counted;
    }

    private double[] Block(double[] x, int length, int layer, Action<string, double[]>? see)
    {
        string name = $"model.layers.{layer}.";
        var n = See("input_layernorm", Norm(x, name + "input_layernorm", length));
        var q = See("self_attn.q_proj", Rotate(HeadNorm(Linear(n, name + "self_attn.q_proj", length), name + "self_attn.q_norm"), length));
        var k = See("self_attn.k_proj", Rotate(HeadNorm(Linear(n, name + "self_attn.k_proj", length), name + "self_attn.k_norm"), length));
        var v = See("self_attn.v_proj", Linear(n, name + "self_attn.v_proj", length));
        var mixed = See("self_attn", Attend(q, k, v, length, _config.SlidingWindowOf(layer) ?? length));
        var middle = See("self_attn.o_proj", Add(x, Linear(mixed, name + "self_attn.o_proj", length)));
        var m = See("post_attention_layernorm", Norm(middle, name + "post_attention_layernorm", length));
        var gate = See("mlp.gate_proj", Linear(m, name + "mlp.gate_proj", length));
        var up = See("mlp.up_proj", Linear(m, name + "mlp.up_proj", length));
        var product = See("mlp", [.. gate.Zip(up, (g, u) => g / (1 + Math.Exp(-g)) * u)]);
        return See("mlp.down_proj", Add(middle, Linear(product, name + "mlp.down_proj", length)));

        double[] See(string type, double[] output)
        {
            see?.Invoke($"layers.{layer}.{type}", output);
            return output;
        }
    }

    private double[] Norm(double[] x, string name, int length)
    {
        var weight = Values[name + ".weight"];
        var y = new double[x.Length];
        for (int t = 0; t < length; t++)
        {
            double sum = 0;
            for (int i = 0; i < weight.Length; i++) sum += x[t * weight.Length + i] * x[t * weight.Length + i];
            double scale = 1 / Math.Sqrt(sum / weight.Length + _config.RmsNormEpsilon);
            for (int i = 0; i < weight.Length; i++) y[t * weight.Length + i] = weight[i] * x[t * weight.Length + i] * scale;
        }
        return y;
    }

    // Qwen3's, over each head of each token.
    private double[] HeadNorm(double[] x, string name) => Values.ContainsKey(name + ".weight") ? Norm(x, name, x.Length / _config.HeadSize) : x;

    private double[] Linear(double[] x, string name, int length)
    {
        var weight = Values[name + ".weight"];
        int inner = x.Length / length, outer = weight.Length / inner;
        var read = Enumerable.Range(0, length).SelectMany(t => Read(name, x[(t * inner)..((t + 1) * inner)])).ToArray();
        var y = Multiply(read, weight, length, inner, outer);
        if (!Values.TryGetValue(name + ".bias", out var bias)) return y;
        for (int i = 0; i < y.Length; i++) y[i] += bias[i % outer];
        return y;
    }

    private static double[] Multiply(double[] x, double[] w, int rows, int inner, int outer) =>
        [.. Enumerable.Range(0, rows * outer).Select(at => Enumerable.Range(0, inner).Sum(i => x[at / outer * inner + i] * w[at % outer * inner + i]))];

    private static double[] Add(double[] a, double[] b) => [.. a.Zip(b, (left, right) => left + right)];

    private double[] Rotate(double[] x, int length)
    {
        int half = _config.HeadSize / 2, width = x.Length / length;
        var y = new double[x.Length];
        for (int t = 0; t < length; t++)
            for (int head = 0; head < width; head += 2 * half)
                for (int i = 0; i < half; i++)
                {
                    var (sine, cosine) = Math.SinCos(t * _frequencies[i]);
                    int a = t * width + head + i, b = a + half;
                    y[a] = x[a] * cosine - x[b] * sine;
                    y[b] = x[b] * cosine + x[a] * sine;
                }
        return y;
    }

    private double[] Attend(double[] q, double[] k, double[] v, int length, int window)
    {
        int size = _config.HeadSize, heads = _config.HeadCount, keyHeads = _config.KeyValueHeadCount;
        var y = new double[length * heads * size];
        for (int head = 0; head < heads; head++)
            for (int i = 0; i < length; i++)
            {
                int keyHead = head / (heads / keyHeads), first = Math.Max(0, i - window + 1);
                var p = new double[i + 1];
                for (int j = first; j <= i; j++)
                    for (int d = 0; d < size; d++)
                        p[j] += q[(i * heads + head) * size + d] * Seen(k, Stored.Key, j, d) / Math.Sqrt(size);
                for (int j = first; j <= i; j++) p[j] = Math.Exp(p[j]);
                double sum = p[first..].Sum();
                for (int j = first; j <= i; j++)
                    for (int d = 0; d < size; d++) y[(i * heads + head) * size + d] += p[j] / sum * Seen(v, Stored.Value, j, d);

                double Seen(double[] of, Func<double, double> stored, int j, int d)
                {
                    double value = of[(j * keyHeads + keyHead) * size + d];
                    return j < i ? stored(value) : value;
                }
            }
        return y;
    }
}
