using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

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
        var modules = Linears(model);
        var sums = modules.Keys.ToDictionary(module => module, module => new double[modules[module].In]);
        var pass = new ModelPass(model);
        long tokens = 0;
        foreach (int[] text in texts)
        {
            cancellation.ThrowIfCancellationRequested();
            pass.Forward(new TokenBatch(text, [], 1));
            foreach (var (module, sum) in sums) AddSquares(InputOf(pass, module), text.Length, sum);
            tokens += text.Length;
        }
        return new ModuleScores("activation_weighted_error", "squared output units", modules.ToDictionary(pair => pair.Key, pair =>
        {
            var squares = sums[pair.Key];
            return SumOverErrors(pair.Value, grid, (i, error) => squares[i % squares.Length] / tokens * error * error);
        }));
    }

    /// <summary>Sum of |gradient x error| of each module, in nats. Gradients of the model's linear weights are dropped at the end.</summary>
    /// <param name="model">the model in floating point</param>
    /// <param name="texts">token ids of each text; every token is predicted from those before</param>
    /// <param name="grid">null for NxDI's int8</param>
    /// <param name="cancellation">checked before each text</param>
    public static ModuleScores GradientTimesError(LlamaModel model, IReadOnlyList<int[]> texts, Grid? grid = null, CancellationToken cancellation = default)
    {
        var modules = Linears(model);
        foreach (var linear in modules.Values) linear.Weight.ZeroGradient();
        var pass = new ModelPass(model);
        foreach (int[] text in texts)
        {
            cancellation.ThrowIfCancellationRequested();
            pass.LossAndGradients(TokenBatch.Of([text]));
        }
        var values = modules.ToDictionary(pair => pair.Key, pair =>
        {
            float[] gradient = pair.Value.Weight.Gradient!;
            return SumOverErrors(pair.Value, grid, (i, error) => Math.Abs(gradient[i] * error)) / texts.Count;
        });
        foreach (var linear in modules.Values) linear.Weight.DropGradient();
        return new ModuleScores("gradient_times_error", "nats", values);
    }

    /// <summary>Mean KL divergence of the predictions when one module at a time is quantized, nats per token. The model is as before at the end.</summary>
    /// <param name="model">the model in floating point</param>
    /// <param name="texts">token ids of each text, each run on its own</param>
    /// <param name="grid">null for NxDI's int8</param>
    /// <param name="progress">told the modules done and their number</param>
    /// <param name="cancellation">checked before each module</param>
    public static ModuleScores Divergence(
        LlamaModel model, IReadOnlyList<int[]> texts, Grid? grid = null, Action<long, long>? progress = null, CancellationToken cancellation = default)
    {
        var modules = Linears(model);
        var values = modules.Keys.ToDictionary(module => module, _ => 0.0);
        var (pass, tail) = (new ModelPass(model), new ModelTail(model));
        long done = 0, tokens = texts.Sum(text => (long)text.Length);
        foreach (int[] text in texts)
        {
            float[] original = pass.Logits(new TokenBatch(text, [], 1));
            foreach (var (module, linear) in modules)
            {
                cancellation.ThrowIfCancellationRequested();
                using (new Replaced(linear, grid))
                    values[module] += LogitsDivergence.Sum(original, tail.Logits(pass, module.Layer, text.Length), model.Config.VocabularySize);
                progress?.Invoke(++done, (long)modules.Count * texts.Count);
            }
        }
        return new ModuleScores("divergence", "nats per token", values.ToDictionary(pair => pair.Key, pair => pair.Value / tokens));
    }

    /// <summary>Mean KL divergence of the predictions when every linear module is quantized but those kept: what a selection really costs, nats per token.</summary>
    /// <param name="model">the model in floating point; as before at the end</param>
    /// <param name="texts">token ids of each text, each run on its own</param>
    /// <param name="kept">modules that stay in bf16</param>
    /// <param name="grid">null for NxDI's int8</param>
    /// <param name="cancellation">checked before each text</param>
    public static double DivergenceOf(LlamaModel model, IReadOnlyList<int[]> texts, IEnumerable<ModuleName> kept, Grid? grid = null,
        CancellationToken cancellation = default)
    {
        var stay = kept.ToHashSet();
        var pass = new ModelPass(model);
        float[][] originals = [.. texts.Select(text => pass.Logits(new TokenBatch(text, [], 1)))];
        var replaced = Linears(model).Where(pair => !stay.Contains(pair.Key)).Select(pair => new Replaced(pair.Value, grid)).ToArray();
        try
        {
            double sum = 0;
            for (int i = 0; i < texts.Count; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                sum += LogitsDivergence.Sum(originals[i], pass.Logits(new TokenBatch(texts[i], [], 1)), model.Config.VocabularySize);
            }
            return sum / texts.Sum(text => (long)text.Length);
        }
        finally
        {
            foreach (var one in replaced) one.Dispose();
        }
    }

    // A tied head is the embedding, which NxDI never quantizes.
    private static IReadOnlyDictionary<ModuleName, Linear> Linears(LlamaModel model) =>
        model.Blocks.SelectMany(block => block.Linears).Concat(model.Config.TieWordEmbeddings ? [] : new[] { model.Head })
            .ToDictionary(linear => ModuleName.Parse(linear.Name));

    private static float[] InputOf(ModelPass pass, ModuleName module) => module.Layer is int layer ? pass.Activations[layer].InputOf(module.Type) : pass.Normed;

    private static void AddSquares(float[] inputs, int rows, double[] sums)
    {
        for (int i = 0; i < rows * sums.Length; i++) sums[i % sums.Length] += (double)inputs[i] * inputs[i];
    }

    private static double SumOverErrors(Linear linear, Grid? grid, Func<int, double, double> term)
    {
        float[] weights = linear.Weight.Values, rounded = Rounded(linear, grid);
        double sum = 0;
        for (int i = 0; i < weights.Length; i++) sum += term(i, (double)weights[i] - rounded[i]);
        return sum;
    }

    private static float[] Rounded(Linear linear, Grid? grid) =>
        RoundToNearest.Quantize(WeightMatrix.Of(linear.Name, linear.Weight.Values, linear.Out, linear.In), grid ?? Grid.Nxd()).Dequantize();

    // A module's weight, quantized until Dispose.
    private sealed class Replaced : IDisposable
    {
        private readonly Linear _linear;
        private readonly float[] _original;

        public Replaced(Linear linear, Grid? grid)
        {
            (_linear, _original) = (linear, [.. linear.Weight.Values]);
            Rounded(linear, grid).CopyTo(linear.Weight.Values, 0);
        }

        public void Dispose() => _original.CopyTo(_linear.Weight.Values, 0);
    }
}
