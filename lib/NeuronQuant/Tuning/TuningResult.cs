using Microsoft.Data.Analysis;
using NeuronQuant.Display;
using Plotly.NET;
using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>What a tuning of all blocks learned.</summary>
/// <param name="Method">autoround</param>
/// <param name="Recipe">with which recipe</param>
/// <param name="Blocks">each block, in the order of a forward pass</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record TuningResult(string Method, TuningRecipe Recipe, IReadOnlyList<BlockTuning> Blocks)
{
    /// <summary>What was not tuned, and what happens to it.</summary>
    public string Note => "Only linear modules of decoder blocks are tuned. lm_head is rounded to nearest when the plan quantizes it; embeddings and norms stay in bf16.";

    /// <summary>Codes and scales of all tuned modules, for a writer.</summary>
    public QuantizedModules Modules => new(Method, Blocks.SelectMany(block => block.Weights).ToDictionary());

    /// <summary>Replaces the tuned weights of a model by scale * code, for evaluation; the others, lm_head among them, stay as they are.</summary>
    /// <param name="model">a model of the same sizes, changed in place</param>
    public void ApplyTo(LlamaModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        model.Apply(Modules.Weights);
    }

    /// <summary>A row for each block: its loss when rounded to nearest and when tuned, on all calibration sequences. Blocks that got worse stand out.</summary>
    public DataFrame ToDataFrame() => Frames.From($"{Method}, recipe {Recipe.Name}: output error of each block", Blocks,
            ("block", block => $"layers.{block.Layer}"), ("modules", block => block.Weights.Count),
            (new Column("rounded to nearest", "0.000e+0"), block => block.RoundedLoss), (new Column("tuned", "0.000e+0"), block => block.TunedLoss),
            (new Column("tuned / rounded", "0.000"), block => block.RoundedLoss > 0 ? block.TunedLoss / block.RoundedLoss : null),
            ("kept iteration", block => block.Losses.Count == 0 ? null : block.BestIteration))
        .Mark(row => row[4] is double and > 1);

    /// <summary>The minibatch loss of each iteration, a line for each block, relative to its first: rounding to nearest is at 1.</summary>
    public GenericChart ToChart() => Charts.Together(Blocks.Where(block => block.Losses.Count > 0 && block.Losses[0] > 0)
            .Select(block => Charts.Line($"layers.{block.Layer}", Enumerable.Range(0, block.Losses.Count), block.Losses.Select(loss => loss / block.Losses[0]), markers: false)))
        .Titled($"{Method}, recipe {Recipe.Name}: loss while learning").Axes("iteration", "minibatch loss / first loss").Threshold(1, "round to nearest");

    /// <summary>The table and the note as HTML.</summary>
    public string ToHtml() => $"{ToDataFrame().ToHtml()}\n<p>{Note}</p>";

    /// <summary>The table and the note as text.</summary>
    public override string ToString() => $"{ToDataFrame().ToText()}\n{Note}";
}
