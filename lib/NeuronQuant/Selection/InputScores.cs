using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Selection;

/// <summary>What rounding the inputs of linear modules does to predictions, and which modules should go on reading bf16.</summary>
/// <remarks>
/// The weights stay in floating point, so that what is seen is the inputs' alone. q, k and v read one input, gate and up another; each module is
/// measured by itself nevertheless, and a budget ties those that share (<see cref="BudgetSelection"/>). lm_head is not touched, as in every tool.
///   divergence     mean over tokens of KL(p || p^) when the input of this module alone is rounded, nats per token: the reference
///   crest factor   max_j |x_tj| / rms_j(x_tj), the largest over all tokens: one token may carry what a mean would hide. By the law of notebook 03 int8's
///                  SQNR is 52.87 - 20 log10 of it in dB, against 31.5 dB of e4m3 at any crest factor, so above about 11.7 e4m3 is the better.
/// Texts run one at a time, without padding: formats that share a scale over a batch then share it with nobody.
/// </remarks>
public static class InputScores
{
    /// <summary>Mean divergence with the input of one module at a time rounded.</summary>
    /// <param name="model">in floating point; it is not changed</param>
    /// <param name="texts">token ids of each text</param>
    /// <param name="format">how inputs are rounded</param>
    /// <param name="cancellation">checked before each text</param>
    /// <param name="progress">told the texts done, each with every module, and their number</param>
    public static ModuleScores Divergence(LlamaModel model, IReadOnlyList<int[]> texts, InputFormat format, CancellationToken cancellation = default,
        Action<long, long>? progress = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        TokenBatch.Require(texts);
        ArgumentNullException.ThrowIfNull(format);
        Linear[] modules = [.. model.Blocks.SelectMany(block => block.Linears)];
        var (sums, done) = (new double[texts.Count][], 0L);
        Torch.ForEach(model.Config.HiddenSize < Torch.Small, [.. Enumerable.Range(0, texts.Count)], i =>
        {
            Torch.Run(() => { sums[i] = OfText(model, texts[i], modules, format); });
            progress?.Invoke(Interlocked.Increment(ref done), texts.Count);
        }, cancellation);
        double tokens = texts.Sum(text => (double)text.Length);
        return new ModuleScores($"divergence with {format.Name} inputs", "nats per token",
            modules.Index().ToDictionary(pair => pair.Item.Module, pair => sums.Sum(text => text[pair.Index]) / tokens));
    }

    /// <summary>
    /// Mean divergence with the inputs of all modules rounded but those kept, nats per token: what a choice really costs. For several formats or
    /// choices <see cref="InputReference"/> runs the model as it is once.
    /// </summary>
    /// <param name="model">in floating point; it is not changed</param>
    /// <param name="texts">token ids of each text</param>
    /// <param name="format">how inputs are rounded</param>
    /// <param name="kept">modules that read their input as it is; null for none</param>
    /// <param name="cancellation">checked before each text</param>
    public static double DivergenceOf(
        LlamaModel model, IReadOnlyList<int[]> texts, InputFormat format, IEnumerable<ModuleName>? kept = null, CancellationToken cancellation = default)
    {
        using var reference = new InputReference(model, texts, cancellation);
        return reference.Divergence(format, kept, cancellation);
    }

    /// <summary>The largest crest factor of a token's input, for each module. It ranks and does not add up.</summary>
    /// <param name="model">the model</param>
    /// <param name="texts">token ids of each text</param>
    /// <param name="cancellation">checked before each text</param>
    public static ModuleScores CrestFactor(LlamaModel model, IReadOnlyList<int[]> texts, CancellationToken cancellation = default)
    {
        var ranges = InputRanges.Measure(model, texts, cancellation: cancellation);
        return new ModuleScores("largest crest factor of a token", "ratio",
            model.Blocks.SelectMany(block => block.Linears).ToDictionary(linear => linear.Module, linear => ranges[linear.Module].CrestFactor))
        {
            AddsUp = false,
        };
    }

    /// <summary>The modules that go on reading bf16, so that the others lose least: exact for the sum of scores, see <see cref="BudgetSelection"/>.</summary>
    /// <param name="model">shapes of its modules</param>
    /// <param name="scores">from <see cref="Divergence"/></param>
    /// <param name="bits">average width of an input over all multiplications of the blocks, 8 to 16</param>
    public static BudgetSelection Choose(LlamaModel model, ModuleScores scores, double bits)
    {
        ArgumentNullException.ThrowIfNull(model);
        return BudgetSelection.ByAverageBits(ModelScores.Profile(model.Blocks.SelectMany(block => block.Linears)), scores, bits);
    }

    // A change in a layer needs no layer before it: each starts from that layer's input.
    private static double[] OfText(LlamaModel model, int[] text, Linear[] modules, InputFormat format)
    {
        var (positions, inputs) = (Positions.Of(model.Rotary, text.Length, model.Place), new List<Tensor> { model.Embed(text).unsqueeze(0) });
        foreach (var block in model.Blocks) inputs.Add(block.Forward(inputs[^1], positions));
        var original = model.LogitsOf(model.Through(inputs[^1], positions, null, model.Blocks.Count));
        return [.. modules.Select(module =>
        {
            using var scope = NewDisposeScope();
            int layer = module.Module.Layer!.Value;
            var simulated = new Simulation(Inputs: new InputRounding(format, one => one.Module == module.Module));
            return LogitsDivergence.Sum(original, model.LogitsOf(model.Through(inputs[layer], positions, null, layer, simulated: simulated)));
        })];
    }
}
