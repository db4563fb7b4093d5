using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Selection;

/// <summary>How large an input of a layer becomes: each channel over all tokens, and the worst token over its channels.</summary>
/// <param name="Layer">number of the layer</param>
/// <param name="Input">what linear modules read there, see <see cref="DecoderBlock.InputOf"/>: input_layernorm, self_attn, ...</param>
/// <param name="Maxima">largest |x_tj| over all tokens, [in]</param>
/// <param name="TokensAtSix">tokens with |x_tj| of 6 or more, [in]</param>
/// <param name="Tokens">tokens in all</param>
public sealed record InputRange(int Layer, string Input, double[] Maxima, long[] TokensAtSix, long Tokens)
{
    /// <summary>max_j |x_tj| / rms_j(x_tj), the largest over all tokens.</summary>
    public double CrestFactor { get; internal set; }

    /// <summary>The largest channel's maximum over the median channel's; of an even number of channels the median is the mean of the middle two.</summary>
    public double Ratio
    {
        get
        {
            double[] sorted = [.. Maxima.Order()];
            double median = (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
            return median == 0 ? (sorted[^1] == 0 ? 1 : double.PositiveInfinity) : sorted[^1] / median;
        }
    }

    /// <summary>Channels that reach 6 in at least 6 % of the tokens.</summary>
    public IEnumerable<int> AtSix => Enumerable.Range(0, TokensAtSix.Length).Where(j => TokensAtSix[j] >= 0.06 * Tokens);
}

/// <summary>The range of every input of linear modules, channel by channel: whether a model has activation outliers.</summary>
/// <remarks>
/// LLM.int8 (arXiv 2208.07339, section 4) calls a feature of the hidden state an outlier where it reaches a magnitude of 6 in at least 6 % of the
/// tokens and 25 % of the layers. It looks at the hidden state as the projections read it, so behind the norms; the inputs of o_proj and down_proj
/// have channels of their own. A magnitude says little by itself, since a norm's gain may be anything: hence the ratio, which no common factor
/// changes.
/// </remarks>
/// <param name="Inputs">four for each layer, in the order of a forward pass</param>
public sealed record InputRanges(IReadOnlyList<InputRange> Inputs)
{
    /// <summary>What a linear module of the blocks reads.</summary>
    public InputRange this[ModuleName module]
    {
        get
        {
            ArgumentNullException.ThrowIfNull(module);
            return Inputs.First(input => input.Layer == module.Layer && input.Input == DecoderBlock.InputOf(module.Type));
        }
    }

    /// <summary>Outlier features by the criterion of LLM.int8.</summary>
    public IReadOnlyList<int> OutlierFeatures
    {
        get
        {
            int layers = Inputs.Select(input => input.Layer).Distinct().Count();
            return [.. Inputs.Where(input => input.Input.EndsWith("layernorm", StringComparison.Ordinal))
                .SelectMany(input => input.AtSix.Select(channel => (channel, input.Layer))).Distinct()
                .GroupBy(one => one.channel).Where(group => group.Count() >= 0.25 * layers).Select(group => group.Key).Order()];
        }
    }

    /// <summary>Measures a model, one text at a time.</summary>
    /// <param name="model">the model; it is not changed</param>
    /// <param name="texts">token ids of each text</param>
    /// <param name="progress">told the texts done and their number</param>
    /// <param name="cancellation">checked before each text</param>
    public static InputRanges Measure(LlamaModel model, IReadOnlyList<int[]> texts, Action<long, long>? progress = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        TokenBatch.Require(texts);
        var found = model.Blocks.SelectMany(block => block.Linears).DistinctBy(Name).ToDictionary(Name, linear => new InputRange(linear.Module.Layer!.Value,
            DecoderBlock.InputOf(linear.Module.Type), new double[linear.In], new long[linear.In], texts.Sum(text => (long)text.Length)));
        foreach (var (done, text) in texts.Index())
        {
            cancellation.ThrowIfCancellationRequested();
            Torch.Run(() =>
            {
                model.Hidden(new TokenBatch(text, [], 1), (name, x) =>
                {
                    if (found.GetValueOrDefault(name) is { } range) Add(range, x.view(text.Length, -1).to(ScalarType.Float64).abs());
                });
            });
            progress?.Invoke(done + 1, texts.Count);
        }
        return new InputRanges([.. found.Values]);
    }

    private static string Name(Linear linear) => $"layers.{linear.Module.Layer}.{DecoderBlock.InputOf(linear.Module.Type)}";

    // Magnitudes [tokens, in]; of a token that is all zero the crest factor counts as 0.
    private static void Add(InputRange range, Tensor magnitudes)
    {
        double crest = (magnitudes.amax([1L]) / magnitudes.Squared().mean([1L]).sqrt()).nan_to_num(0).max().ToDouble();
        range.CrestFactor = Math.Max(range.CrestFactor, crest);
        double[] largest = magnitudes.amax([0L]).data<double>().ToArray();
        long[] reached = magnitudes.ge(Torch.Number(6)).sum([0L]).data<long>().ToArray();
        for (int j = 0; j < largest.Length; j++)
        {
            range.Maxima[j] = Math.Max(range.Maxima[j], largest[j]);
            range.TokensAtSix[j] += reached[j];
        }
    }
}
