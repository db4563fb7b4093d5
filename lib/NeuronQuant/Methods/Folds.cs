using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Methods;

/// <summary>
/// The changes of weights that cancel. y = W x is also (W diag(s)) (x / s); whoever makes x can make x / s, if it is linear in its rows: a norm
/// by its gain, v for o, up for down.
/// </summary>
/// <remarks>
/// Consumers of one input share one s. The producer of down's input is up and not gate, which goes through SiLU; of o's input it is v, rows and
/// bias alike, since attention mixes tokens and not channels. q and k have no producer: the rotary embedding stands behind them.
/// With fewer key and value heads than query heads, query head h reads head h / (heads / key heads), so a vector over v's channels is repeated for
/// o by blocks of a head (repeat_interleave); laid out as tiles it would mix heads, and a toy model's logits of about 10 go wrong by 1.
/// A bias of the consumer does not change, since s is on its input. All is computed in float64 and rounded once.
/// Sources: llm-awq awq/quantize/auto_scale.py:39-106 (mit-han-lab, d6e797a), whose scale_fc_fc divides some rows of a fused weight but all of its
/// bias; here every module has its own.
/// </remarks>
public static class Folds
{
    /// <summary>gain / s, and the columns of every consumer * s.</summary>
    /// <param name="norm">[in]</param>
    /// <param name="consumers">all modules that read the norm, each [out, in]</param>
    /// <param name="scales">s, [in], all above 0</param>
    public static Fold IntoNorm(Parameter norm, IReadOnlyList<Linear> consumers, double[] scales) => Torch.Run(() =>
    {
        var s = Checked(norm.Name, scales, norm.Rows);
        Write(norm, Double(norm) / s);
        foreach (var linear in consumers) Write(linear.Weight, Double(linear.Weight) * s);
        return new Fold($"{norm.Name}; {string.Join(", ", consumers.Select(linear => linear.Module.Type))}",
            $"gain / s, columns * s, {Range(scales)}",
            "the norm's output is proportional to its gain, channel by channel");
    });

    /// <summary>Rows of the producer and its bias / s, columns of the consumer * s.</summary>
    /// <param name="producer">up for down, v for o: [channels, ...]</param>
    /// <param name="consumer">[out, channels], or for o [out, heads * head size]</param>
    /// <param name="scales">s, [channels of the producer]</param>
    /// <param name="config">how many query heads share a key head; looked at for v and o</param>
    public static Fold IntoRows(Linear producer, Linear consumer, double[] scales, ModelConfig config) => Torch.Run(() =>
    {
        var s = Checked(producer.Name, scales, producer.Out);
        Write(producer.Weight, Double(producer.Weight) / s.unsqueeze(1));
        if (producer.Bias is { } bias) Write(bias, Double(bias) / s);
        Write(consumer.Weight, Double(consumer.Weight) * tensor(consumer.Module.Type == "self_attn.o_proj" ? PerQueryHead(scales, config) : scales));
        return new Fold($"{producer.Module.Name}; {consumer.Module.Type}", $"rows / s, columns * s, {Range(scales)}",
            "between the two each channel is only multiplied by what other channels or tokens say");
    });

    /// <summary>A vector over v's channels as o's columns see it: each head's part once for every query head that reads it.</summary>
    /// <param name="scales">[key heads * head size]</param>
    /// <param name="config">head counts and size</param>
    /// <returns>[heads * head size]</returns>
    public static double[] PerQueryHead(double[] scales, ModelConfig config)
    {
        int repeats = config.HeadCount / config.KeyValueHeadCount, size = config.HeadSize;
        return [.. Enumerable.Range(0, config.QuerySize).Select(i => scales[i / size / repeats * size + i % size])];
    }

    /// <summary>The mean over the query heads that share a key head: the one vector that both v and o can use.</summary>
    /// <param name="wanted">what o would like, [heads * head size]</param>
    /// <param name="config">head counts and size</param>
    /// <returns>[key heads * head size]</returns>
    public static double[] MeanOverGroups(double[] wanted, ModelConfig config)
    {
        int repeats = config.HeadCount / config.KeyValueHeadCount, size = config.HeadSize;
        return [.. Enumerable.Range(0, config.KeyValueSize).Select(i =>
            Enumerable.Range(0, repeats).Average(r => wanted[((i / size * repeats) + r) * size + i % size]))];
    }

    /// <summary>Values in float64.</summary>
    internal static Tensor Double(Parameter parameter) => parameter.Tensor.to(ScalarType.Float64).cpu();

    /// <summary>Writes float64 values, rounded once to the model's type.</summary>
    internal static void Write(Parameter parameter, Tensor values) => parameter.Tensor.copy_(values);

    internal static string Range(double[] scales) => FormattableString.Invariant($"s from {scales.Min():0.###} to {scales.Max():0.###}");

    private static Tensor Checked(string name, double[] scales, int expected)
    {
        if (scales.Length != expected) throw new ModelException(name,
            $"has {expected} channels, and the scales {scales.Length}. Are they of another module?");
        if (Array.FindIndex(scales, s => !(s > 0 && double.IsFinite(s))) is >= 0 and var at)
            throw new ModelException(name,
                $"the scale of channel {at} is {scales[at]}, and only a number above 0 can be undone. Are the inputs finite?");
        return tensor(scales);
    }
}
