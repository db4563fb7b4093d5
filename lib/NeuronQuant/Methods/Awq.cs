using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;

namespace NeuronQuant.Methods;

/// <summary>
/// AWQ: a weight matters as much as the activation that it meets. Input channels with large activations are scaled up before rounding, and the
/// scale goes into what stands in front: the model computes the same, and the channels that matter get finer steps.
/// </summary>
/// <remarks>
/// Lin et al., "AWQ: activation-aware weight quantization", 2023 (arXiv 2306.00978); awq/quantize/auto_scale.py:109-156, 217-256 and
/// auto_clip.py:11-63 of mit-han-lab/llm-awq (d6e797a); transform/awq/base.py:607-728, 802-836, 908-973 of llm-compressor for duo scaling.
/// For each group of modules that read one input, with x_j = mean |x_j| over the calibration tokens:
///   s_j = max(x_j^r, 1e-4), s divided by sqrt(max s * min s), for r = 0, 0.05 ... 0.95;  W^ = Q(W s) / s;  keep the r whose output is nearest
/// The output compared is that of the whole attention for q, k and v, of the whole MLP for gate and up, and their own for o and down. r = 0 is
/// rounding to nearest, so on the calibration texts no group gets worse. With duo scaling s_j = x_j^r / (w_j^(1-r) + 1e-4), w_j the mean over rows
/// of |w_ij| / max of the row. Then ranges are clipped row by row, or group by group, where the output error falls (not for q and k, whose errors go
/// through a softmax). Each block's input is the floating-point one's output, as in llm-awq.
/// What is different here. Published AWQ rounds to asymmetric groups of 128; on NxDI's grid a row has one scale, so the largest scaled channel sets
/// the step of all, and less is won. llm-awq keeps 512 tokens for clipping; here the Gram matrix of all tokens costs no more. o is scaled only
/// where v has as many heads (auto_scale.py:232), unless GroupedHeads asks for the mean over the query heads of a key head, used for v and o alike:
/// llm-compressor's pull request 2818 gives o the full vector and v its mean, and that is another function.
/// Reported: nothing at 8 bits; at 4 bits between rounding and GPTQ per channel; behind a rotation it collapses, since no channel stands out any
/// more.
/// On the demo model, which has no channel that stands out, it does at 3 bits what clipping does (0.0106 nats on right answers, rounding 0.0125), at
/// 4 bits nothing, and in groups of 64 at 3 bits it is nearer to the floating-point model (divergence 0.0039 against 0.0052) with a higher loss on
/// right answers (0.0108 against 0.0102), as clipping is, and for the same reason. With duo scaling it is so, too (0.0110 in groups, divergence
/// 0.0042), and at 4 bits per channel it is level with rounding (0.00635 against 0.00632) while the divergence falls (0.0006 against 0.0008): the
/// search sees outputs of modules, and not answers. awq-duo is behind awq at 3 and 4 bits, per channel and in groups.
/// Scaling down makes up harder to round, which no loss here sees (llm-compressor issue 2296).
/// Outliers planted by <c>nq compare --outliers</c> are the inverse of such a fold: AWQ removes them by construction, which proves nothing.
/// </remarks>
/// <param name="Options">null for llm-awq's</param>
public sealed record Awq(AwqOptions? Options = null) : IModelTransform
{
    private AwqOptions Chosen => Options ?? AwqOptions.Default;

    /// <inheritdoc/>
    public string Name => Chosen.DuoScaling ? "awq-duo" : "awq";

    /// <inheritdoc/>
    public MethodNeeds Needs => MethodNeeds.Calibration;

    /// <inheritdoc/>
    public FoldedModel Fold(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input)
    {
        ArgumentNullException.ThrowIfNull(model);
        var (folded, folds) = (model.Copy(), new List<Fold>());
        foreach (var (layer, choices) in Search(model, grids, input))
            foreach (var choice in choices.Where(choice => choice.Ratio is > 0 || (Chosen.DuoScaling && choice.Ratio is not null)))
                folds.Add(Apply(folded.Blocks[layer], choice, model.Config));
        return new FoldedModel(folded, folds);
    }

    /// <summary>The change, and then rounding on clipped ranges.</summary>
    public QuantizedModel Apply(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input)
    {
        var folded = Fold(model, grids, input);
        if (!Chosen.Clip) return ComposedMethod.RoundFolded(Name, folded, grids, input);
        var grams = GramMatrix.Capture(folded.Model, input.Texts(Name), cancellation: input.Cancellation);
        var made = QuantizedModel.Each(Name, folded.Model, grids, (linear, grid) =>
            linear.Module.Type is "self_attn.q_proj" or "self_attn.k_proj" || !grams.TryGetValue(linear.Module, out var gram)
                ? RoundToNearestMethod.Round(linear, grid) : AwqClipping.Search(linear.ToWeightMatrix(), gram, grid), input.Cancellation);
        return made with { Folds = folded.Folds };
    }

    /// <summary>The choices of every block, without changing anything.</summary>
    /// <param name="model">in floating point</param>
    /// <param name="grids">modules without a grid count as exact</param>
    /// <param name="input">calibration texts</param>
    public IReadOnlyList<(int Layer, IReadOnlyList<AwqChoice> Choices)> Search(
        LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input)
    {
        var calibration = input.Texts(Name);
        var statistics = ActivationStatistics.Capture(model, calibration, input.Cancellation);
        var grams = GramMatrix.Capture(model, calibration, cancellation: input.Cancellation);
        var walk = ModelWalk.Of(model);
        var found = new List<(int, IReadOnlyList<AwqChoice>)>();
        using var streams = walk.Embed([.. calibration.Tokens.Take(Chosen.Sequences)]);
        foreach (var block in walk.Blocks)
        {
            var outputs = new BlockOutputs(block, walk, streams, calibration, input.Cancellation);
            var choices = new List<AwqChoice>();
            foreach (string[] types in Groups(block, model.Config))
            {
                Linear[] linears = [.. types.Select(type => block[type])];
                var own = linears.Where(linear => grids.ContainsKey(linear.Module)).ToArray();
                if (own.Length == 0) continue;
                var mean = statistics[(block.Layer, DecoderBlock.InputOf(types[0]))].Mean;
                Func<double[], double> loss = types.Length > 1 ? scales => outputs.Loss(own, grids, scales)
                    : scales => LayerLoss(own[0].ToWeightMatrix(), grids[own[0].Module], grams[own[0].Module], scales);
                Func<double[], double[]>? shared = types[0] == "self_attn.o_proj"
                    ? scales => Folds.PerQueryHead(Folds.MeanOverGroups(scales, model.Config), model.Config) : null;
                choices.Add(Best(string.Join(", ", types), mean, RelativeMeans(linears), loss, shared));
            }
            found.Add((block.Layer, choices));
            walk.Forward(block, streams, 8, cancellation: input.Cancellation);
        }
        return found;
    }

    /// <summary>The search of one module by its own output, as for o and down.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="grid">any</param>
    /// <param name="activations">mean |x_j|, [in]</param>
    /// <param name="gram">of its inputs</param>
    public AwqChoice SearchLayer(WeightMatrix weight, Grid grid, double[] activations, GramMatrix gram)
    {
        ArgumentNullException.ThrowIfNull(weight);
        return Best(weight.Name, activations, RelativeMeans([weight]), scales => LayerLoss(weight, grid, gram, scales), null);
    }

    private AwqChoice Best(
        string modules, double[] activations, double[] weights, Func<double[], double> loss, Func<double[], double[]>? shared)
    {
        double?[] ratios = [.. Chosen.Ratios];
        double[][] scales = [.. ratios.Select(ratio => Chosen.Scales(activations, weights, ratio)).Select(one => shared?.Invoke(one) ?? one)];
        var losses = new double[ratios.Length];
        Torch.ForEach(activations.Length < Torch.Small, [.. Enumerable.Range(0, losses.Length)], i => losses[i] = loss(scales[i]), CancellationToken.None);
        int best = Array.IndexOf(losses, losses.Where(double.IsFinite).DefaultIfEmpty(double.NaN).Min());
        return best >= 0 && double.IsFinite(losses[best]) ? new AwqChoice(modules, ratios[best], scales[best], losses)
            : throw new TuningException(modules, "no ratio gives a finite error: the inputs or the weights are not finite. Repair the checkpoint.");
    }

    // tr(E H E^T) / (tokens * out) with E = Q(W s) / s - W.
    private static double LayerLoss(WeightMatrix weight, Grid grid, GramMatrix gram, double[] scales) =>
        gram.Error(weight.ToArray(), ScaledWeight.Rounded(weight, grid, scales)) / Math.Max(1, gram.Tokens) / weight.Rows;

    private IEnumerable<string[]> Groups(DecoderBlock block, ModelConfig config)
    {
        yield return ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];
        var (value, output) = (block["self_attn.v_proj"], block["self_attn.o_proj"]);
        bool equal = (value.Out, value.In) == (output.Out, output.In);
        if (equal || (Chosen.GroupedHeads && value.Out <= output.In)) yield return ["self_attn.o_proj"];
        yield return ["mlp.gate_proj", "mlp.up_proj"];
        yield return ["mlp.down_proj"];
    }

    private static Fold Apply(DecoderBlock block, AwqChoice choice, ModelConfig config)
    {
        Linear[] linears = [.. choice.Modules.Split(", ").Select(type => block[type])];
        return linears[0].Module.Type switch
        {
            "self_attn.o_proj" => Folds.IntoRows(block["self_attn.v_proj"], linears[0], Folds.MeanOverGroups(choice.Scales, config), config),
            "mlp.down_proj" => Folds.IntoRows(block["mlp.up_proj"], linears[0], choice.Scales, config),
            "mlp.gate_proj" => Folds.IntoNorm(block.MiddleNorm, linears, choice.Scales),
            _ => Folds.IntoNorm(block.InputNorm, linears, choice.Scales),
        };
    }

    private static double[] RelativeMeans(Linear[] linears) => RelativeMeans([.. linears.Select(linear => linear.ToWeightMatrix())]);

    // Mean over all rows of |w_ij| / (max of the row + 1e-6), llm-compressor's measure; an all-zero row counts as zeros and not as NaN.
    private static double[] RelativeMeans(WeightMatrix[] weights)
    {
        var sums = new double[weights[0].Columns];
        foreach (var weight in weights)
        {
            float[] row = new float[weight.Columns];
            for (int i = 0; i < weight.Rows; i++)
            {
                weight.ReadRow(i, row);
                double largest = row.Max(MathF.Abs) + 1e-6;
                for (int j = 0; j < row.Length; j++) sums[j] += Math.Abs(row[j]) / largest;
            }
        }
        double rows = weights.Sum(weight => (double)weight.Rows);
        return [.. sums.Select(sum => sum / rows)];
    }
}
