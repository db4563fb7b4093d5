using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Sensitivity;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Selection;

/// <summary>Scores that need the model to run on texts: what a module's rounding does to its output, to the loss, to the prediction.</summary>
/// <remarks>
/// With e = w - w^, w^ rounded to nearest on the grid, for each linear module, an untied lm_head included:
///   activation-weighted error   sum over weights of E[x_j^2] e^2: the output error if input channels were uncorrelated (llama.cpp's imatrix)
///   gradient times error        sum over weights of |g e|, g of the mean loss on the texts (AutoScheme, auto-round delta_loss.py:141-196)
///   divergence                  mean over tokens of KL(p || p^) when this module alone is quantized (ModelOpt "kl_div", algorithms.py:1766-1858)
/// From cheap to dear: one forward pass; one forward and backward pass; for each module a pass from its layer on.
/// </remarks>
public static class ModelScores
{
    /// <summary>E[x_j^2]-weighted squared error of each module, in squared output units summed over output channels.</summary>
    /// <param name="model">the model in floating point</param>
    /// <param name="texts">token ids of each text, each run on its own</param>
    /// <param name="grid">null for NxDI's int8</param>
    /// <param name="cancellation">checked before each text</param>
    public static ModuleScores ActivationWeightedError(LlamaModel model, IReadOnlyList<int[]> texts, Grid? grid = null, CancellationToken cancellation = default)
    {
        TokenBatch.Require(texts);
        var modules = Linears(model);
        var sums = new Dictionary<string, double[]>();
        foreach (var batch in Batches(model, texts, cancellation))
            Torch.Run(() => { model.Hidden(batch, (name, output) => sums[name] = Added(sums.GetValueOrDefault(name), Predictions.Real(batch, output).to(ScalarType.Float64).Squared().sum(dim: 0))); });
        double tokens = texts.Sum(text => (double)text.Length);
        return new ModuleScores("activation_weighted_error", "squared output units", modules.ToDictionary(pair => pair.Key, pair =>
        {
            var weights = tensor(Array.ConvertAll(sums[InputOf(pair.Key)], sum => sum / tokens));
            return SumOverErrors(pair.Value, grid, error => error.Squared().mul_(weights));
        }));
    }

    /// <summary>Sum of |gradient x error| of each module, in nats. Gradients of the model's linear weights are dropped at the end.</summary>
    /// <param name="model">the model in floating point</param>
    /// <param name="texts">token ids of each text; every token is predicted from those before</param>
    /// <param name="grid">null for NxDI's int8</param>
    /// <param name="cancellation">checked before each text</param>
    public static ModuleScores GradientTimesError(LlamaModel model, IReadOnlyList<int[]> texts, Grid? grid = null, CancellationToken cancellation = default)
    {
        TokenBatch.Require(texts);
        model.DropGradients();
        foreach (int[] text in texts)
        {
            cancellation.ThrowIfCancellationRequested();
            model.LossAndGradients(TokenBatch.Of([text]));
        }
        var values = Linears(model).ToDictionary(pair => pair.Key, pair => SumOverErrors(pair.Value, grid, error => error.mul_(pair.Value.Weight.Gradient!.cpu()).abs_()) / texts.Count);
        model.DropGradients();
        return new ModuleScores("gradient_times_error", "nats", values);
    }

    /// <summary>Mean KL divergence of the predictions when one module at a time is quantized, nats per token.</summary>
    /// <param name="model">the model in floating point; it is not changed</param>
    /// <param name="texts">token ids of each text, each run on its own</param>
    /// <param name="grid">null for NxDI's int8</param>
    /// <param name="progress">told the modules done and their number</param>
    /// <param name="cancellation">checked before each module</param>
    public static ModuleScores Divergence(
        LlamaModel model, IReadOnlyList<int[]> texts, Grid? grid = null, Action<long, long>? progress = null, CancellationToken cancellation = default)
    {
        TokenBatch.Require(texts);
        var modules = Linears(model);
        var values = modules.Keys.ToDictionary(module => module, _ => 0.0);
        long done = 0, tokens = texts.Sum(text => (long)text.Length), batches = Batches(model, texts, cancellation).Count();
        foreach (var batch in Batches(model, texts, cancellation))
            Torch.Run(() =>
            {
                var (positions, inputs) = (Positions.Of(model.Rotary, batch.Length, model.Place), new List<Tensor> { model.Embed(batch.Tokens).view(batch.Sequences, batch.Length, -1) });
                foreach (var block in model.Blocks) inputs.Add(block.Forward(inputs[^1], positions));
                var states = Predictions.Real(batch, model.Through(inputs[^1], positions, null, model.Blocks.Count));
                var original = model.LogitsOf(states);
                // A change in a layer needs no layer before it.
                Tensor Changed(Linear linear, QuantizedWeight codes) => linear.Module.Layer is not int layer
                    ? model.LogitsOf(states, head: tensor(codes.Dequantize()).view(linear.Out, linear.In).to(model.Place.Type).to(model.Place.Device))
                    : model.LogitsOf(Predictions.Real(batch, model.Through(model.Blocks[layer].With(new Dictionary<ModuleName, QuantizedWeight> { [linear.Module] = codes })
                        .Forward(inputs[layer], positions), positions, null, layer + 1)));
                Torch.ForEach(model.Config.HiddenSize < Torch.Small, modules, module =>
                {
                    double sum = Torch.Run(() => LogitsDivergence.Sum(original, Changed(module.Value, Rounded(module.Value, grid))));
                    lock (values)
                    {
                        values[module.Key] += sum;
                        progress?.Invoke(++done, modules.Count * batches);
                    }
                }, cancellation);
            });
        return new ModuleScores("divergence", "nats per token", values.ToDictionary(pair => pair.Key, pair => pair.Value / tokens));
    }

    /// <summary>Mean KL divergence of the predictions when every linear module is quantized but those kept: what a selection really costs, nats per token.</summary>
    /// <param name="model">the model in floating point; it is not changed</param>
    /// <param name="texts">token ids of each text, each run on its own</param>
    /// <param name="kept">modules that stay in bf16</param>
    /// <param name="grid">null for NxDI's int8</param>
    /// <param name="cancellation">checked before each text</param>
    public static double DivergenceOf(LlamaModel model, IReadOnlyList<int[]> texts, IEnumerable<ModuleName> kept, Grid? grid = null,
        CancellationToken cancellation = default) =>
        DivergencesOf(model, texts, [kept], grid, cancellation)[0];

    /// <summary>The same of several selections; what the model itself predicts is found once, and its last hidden states are kept meanwhile, in host memory, 4 bytes times the hidden size a token.</summary>
    /// <param name="model">the model in floating point; it is not changed</param>
    /// <param name="texts">token ids of each text, each run on its own</param>
    /// <param name="selections">of each the modules that stay in bf16</param>
    /// <param name="grid">null for NxDI's int8</param>
    /// <param name="cancellation">checked before each text</param>
    public static double[] DivergencesOf(LlamaModel model, IReadOnlyList<int[]> texts, IEnumerable<IEnumerable<ModuleName>> selections, Grid? grid = null,
        CancellationToken cancellation = default)
    {
        TokenBatch.Require(texts);
        using var predictions = new Predictions(model, Batches(model, texts, cancellation), cancellation);
        return [.. selections.Select(kept =>
        {
            var stay = kept.ToHashSet();
            using var changed = model.Copy();
            changed.Apply(Linears(model).Where(pair => !stay.Contains(pair.Key)).ToDictionary(pair => pair.Key, pair => Rounded(pair.Value, grid)));
            return predictions.Divergence(changed, batch => changed.Hidden(batch), cancellation);
        })];
    }

    /// <summary>The sensitivity profile of a model in memory, as it was changed; what a budget takes sizes from. A tied head is the embedding and not in it.</summary>
    public static ModelProfile Profile(LlamaModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return Profile(model.Linears);
    }

    internal static ModelProfile Profile(IEnumerable<Linear> linears) =>
        ModelProfile.Of(linears.Select(linear => ModuleMetrics.Measure(linear.Module, linear.ToWeightMatrix())));

    // A tied head is the embedding, which NxDI never quantizes.
    private static IReadOnlyDictionary<ModuleName, Linear> Linears(LlamaModel model) => model.Linears.ToDictionary(linear => linear.Module);

    private static string InputOf(ModuleName module) => module.Layer is int layer ? $"layers.{layer}.{DecoderBlock.InputOf(module.Type)}" : "norm";

    // Texts of like lengths together, as many as give logits of 64 MB in float32; of a small model few, whose values stay in a core's caches.
    private static IEnumerable<TokenBatch> Batches(LlamaModel model, IReadOnlyList<int[]> texts, CancellationToken cancellation)
    {
        int rows = Math.Min(model.Config.HiddenSize < Torch.Small ? 1024 : 4096, (1 << 24) / model.Config.VocabularySize);
        var batch = new List<int[]>();
        foreach (int[] text in texts.OrderBy(text => text.Length))
        {
            cancellation.ThrowIfCancellationRequested();
            if (batch.Count > 0 && (batch.Count + 1) * text.Length > rows)
            {
                yield return TokenBatch.Of(batch);
                batch = [];
            }
            batch.Add(text);
        }
        if (batch.Count > 0) yield return TokenBatch.Of(batch);
    }

    private static double[] Added(double[]? sums, Tensor more)
    {
        double[] values = more.cpu().data<double>().ToArray();
        return sums is null ? values : [.. sums.Zip(values, (a, b) => a + b)];
    }

    // The sum of what a term makes of w - w^ in float64, [out, in].
    private static double SumOverErrors(Linear linear, Grid? grid, Func<Tensor, Tensor> term) => Torch.Run(() =>
        term(linear.Weight.Tensor.cpu().to(ScalarType.Float64) - tensor(Rounded(linear, grid).Dequantize()).view(linear.Out, linear.In)).sum().ToDouble());

    private static QuantizedWeight Rounded(Linear linear, Grid? grid) => RoundToNearest.Quantize(linear.ToWeightMatrix(), grid ?? Grid.Nxd());
}
