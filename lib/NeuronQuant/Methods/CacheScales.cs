using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Methods;

/// <summary>
/// Scales for an fp8 cache that casts without any, hidden in the weights: keys and values are made smaller where they would leave the range, and q and o
/// larger by as much. The model computes the same.
/// </summary>
/// <remarks>
/// A score is q . k, and the rotary embedding turns features i and i + half of a head together. So k may be divided by c and q multiplied by it, with a
/// c for each key head and each such pair; a c for each feature would not survive the turning. A value is only mixed over tokens, so v may be divided by
/// c and the columns of o multiplied, with a c for each head. Query heads that share a key head share its c.
/// c is the power of two that brings the largest magnitude on calibration texts to between half the target and the target: rows of q, k and v change
/// their exponents alone, and every code of an int8 row stays what it was. Columns of o get another grid where heads differ, as with AWQ; none where
/// <see cref="ValuesByHead"/> is off.
/// Where keys have a norm of their own for each head (Qwen3) it undoes what k_proj does, so its gain is divided and q's multiplied; it is one for all
/// heads, and so is c.
/// e4m3 is a float: within its range a scale changes nothing, so this is a remedy for models whose keys leave the range, or whose values are tiny, and
/// no improvement elsewhere. On the demo model every answer is that of rounding, at 3 and 4 bits.
/// The rule for pairs was tried out for this book and is from no paper.
/// </remarks>
/// <param name="Target">largest magnitude after the fold; half of Neuron's 240, for texts that calibration has not seen</param>
/// <param name="ValuesByHead">whether heads of values have scales of their own, or one for the layer</param>
public sealed record CacheScales(double Target = 120, bool ValuesByHead = true) : IModelTransform
{
    /// <inheritdoc/>
    public string Name => "cachescales";

    /// <inheritdoc/>
    public MethodNeeds Needs => MethodNeeds.Calibration;

    /// <inheritdoc/>
    public FoldedModel Fold(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(input);
        if (!(Target > 0)) throw new ArgumentException(FormattableString.Invariant($"a target of {Target} is no magnitude above 0."));
        var (range, folded, folds) = (CacheRange.Measure(model, input.Texts(Name).Tokens, input.Cancellation), model.Copy(), new List<Fold>());
        foreach (var (block, found) in folded.Blocks.Zip(range.Layers))
        {
            folds.Add(IntoKeys(block, [.. found.Keys.Select(head => head.Select(Power).ToArray())], model.Config));
            double[] heads = ValuesByHead ? found.Values : [.. found.Values.Select(_ => found.Values.Max())];
            double[] scales = [.. heads.SelectMany(largest => Enumerable.Repeat(Power(largest), model.Config.HeadSize))];
            folds.Add(Folds.IntoRows(block["self_attn.v_proj"], block["self_attn.o_proj"], scales, model.Config));
        }
        return new FoldedModel(folded, folds);
    }

    /// <summary>Divides keys and multiplies queries, in place.</summary>
    /// <param name="block">the layer</param>
    /// <param name="scales">c, [key heads][head size / 2], all above 0</param>
    /// <param name="config">head counts and size</param>
    public static Fold IntoKeys(DecoderBlock block, double[][] scales, ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(block);
        ArgumentNullException.ThrowIfNull(scales);
        ArgumentNullException.ThrowIfNull(config);
        int pairs = config.HeadSize / 2;
        if (scales.Length != config.KeyValueHeadCount || scales.Any(head => head.Length != pairs || head.Any(c => !(c > 0 && double.IsFinite(c)))))
            throw new ModelException($"layers.{block.Layer}.self_attn.k_proj",
                $"needs {config.KeyValueHeadCount} x {pairs} scales above 0, one for each key head and pair of features.");
        if (config.HasQueryKeyNorm) return IntoNorms(block, scales);
        double[] keys = [.. scales.SelectMany(head => head.Concat(head))];
        Torch.Run(() =>
        {
            Multiply(block["self_attn.k_proj"], tensor(keys).reciprocal());
            Multiply(block["self_attn.q_proj"], tensor(Folds.PerQueryHead(keys, config)));
        });
        return new Fold($"layers.{block.Layer}.self_attn.k_proj; self_attn.q_proj", $"rows of k / c, rows of q * c, {Folds.Range(keys).Replace('s', 'c')}",
            "a score is a product of q and k, and both features of a pair have one c");
    }

    private static Fold IntoNorms(DecoderBlock block, double[][] scales)
    {
        double[] shared = [.. Enumerable.Range(0, scales[0].Length).Select(pair => scales.Max(head => head[pair]))], both = [.. shared, .. shared];
        Parameter Norm(string name) => block.Parameters.Single(parameter => parameter.Name.EndsWith($"{name}.weight", StringComparison.Ordinal));
        Torch.Run(() =>
        {
            Folds.Write(Norm("k_norm"), Folds.Double(Norm("k_norm")) / tensor(both));
            Folds.Write(Norm("q_norm"), Folds.Double(Norm("q_norm")) * tensor(both));
        });
        return new Fold($"layers.{block.Layer}.self_attn.k_norm; self_attn.q_norm", $"gain of k / c, gain of q * c, {Folds.Range(both).Replace('s', 'c')}",
            "the norms stand behind the projections and are shared by all heads");
    }

    private static void Multiply(Linear linear, Tensor rows)
    {
        Folds.Write(linear.Weight, Folds.Double(linear.Weight) * rows.unsqueeze(1));
        if (linear.Bias is { } bias) Folds.Write(bias, Folds.Double(bias) * rows);
    }

    private double Power(double largest) => largest > 0 ? Math.Pow(2, Math.Ceiling(Math.Log2(largest / Target))) : 1;
}
