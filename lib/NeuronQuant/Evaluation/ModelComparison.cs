using Microsoft.Data.Analysis;
using NeuronQuant.Display;
using NeuronQuant.Models;
using NeuronQuant.Tensors;

namespace NeuronQuant.Evaluation;

/// <summary>How far one module's output is from its counterpart.</summary>
/// <param name="Module">Name without "model.": layers.3.mlp.up_proj.</param>
/// <param name="MaximumDifference">Largest absolute difference of two values; NaN when one of the outputs has one.</param>
/// <param name="Position">Token at which it is.</param>
/// <param name="Feature">Feature at which it is.</param>
/// <param name="LargestValue">Largest absolute value of the expected output, to judge the difference by.</param>
public sealed record ModuleDifference(string Module, double MaximumDifference, int Position, int Feature, double LargestValue);

/// <summary>Two models on the same tokens, module by module in the order of the pass: where do they part?</summary>
/// <remarks>
/// A swapped weight, a wrong sign or a changed layer shows first in one module and then in all that follow; the first one to differ
/// is the one to look at. What is compared: outputs of the norms; q and k after their rotation and v; the mixed values ("self_attn"); the residual
/// stream after o_proj and after down_proj; gate, up and their product ("mlp"); the last norm and the logits.
/// </remarks>
/// <param name="Tolerance">Largest difference that counts as equal.</param>
/// <param name="Modules">All modules, in the order of the pass.</param>
public sealed record ModelComparison(double Tolerance, IReadOnlyList<ModuleDifference> Modules)
{
    /// <summary>The first module that differs by more than the tolerance, or is not a number; null when none does.</summary>
    public ModuleDifference? First => Modules.FirstOrDefault(IsDifferent);

    /// <summary>Compares a model with another of the same sizes: quantized with original, tuned with untuned.</summary>
    /// <param name="model">the model to be judged</param>
    /// <param name="original">what it should be like</param>
    /// <param name="tokens">one text</param>
    /// <param name="tolerance">largest difference that counts as equal</param>
    /// <exception cref="ModelException">the models have different sizes</exception>
    public static ModelComparison Of(LlamaModel model, LlamaModel original, int[] tokens, double tolerance = 1e-3)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(original);
        var (a, b) = (model.Parameters.Select(p => (p.Name, p.Rows, p.Columns)), original.Parameters.Select(p => (p.Name, p.Rows, p.Columns)));
        if (!a.SequenceEqual(b))
            throw new ModelException("comparison", $"{model.Config.File} and {original.Config.File} have different tensors: compare models of one config.");
        var expected = Outputs(original, tokens).ToDictionary(output => output.Name, output => Array.ConvertAll(output.Values, value => (double)value));
        return With(expected, model, tokens, tolerance);
    }

    /// <summary>The comparison as a table; the first module that differs stands out.</summary>
    public DataFrame ToDataFrame()
    {
        var table = Frames.From(First is { } first ? $"First difference above {Tolerance:g2}: {first.Module}" : $"No difference above {Tolerance:g2}", Modules,
            ("module", m => m.Module),
            (new Column("max difference", "0.0e+0"), m => m.MaximumDifference), (new Column("largest value", "0.000"), m => m.LargestValue),
            ("token", m => m.Position), ("feature", m => m.Feature));
        return table.Mark(row => (string?)row[0] == First?.Module);
    }

    private bool IsDifferent(ModuleDifference module) => !(module.MaximumDifference <= Tolerance);

    /// <summary>Compares a model with what each module should give, such as another program's numbers.</summary>
    /// <param name="expected">by module, each [length, width]</param>
    /// <param name="model">the model to be judged</param>
    /// <param name="tokens">one text</param>
    /// <param name="tolerance">largest difference that counts as equal</param>
    public static ModelComparison With(IReadOnlyDictionary<string, double[]> expected, LlamaModel model, int[] tokens, double tolerance = 1e-3) =>
        new(tolerance, [.. Outputs(model, tokens).Select(output => Difference(output.Name, output.Values, expected[output.Name], tokens.Length))]);

    private static ModuleDifference Difference(string name, float[] actual, double[] expected, int length)
    {
        int worst = 0;
        double largest = -1;
        for (int i = 0; i < expected.Length && !double.IsNaN(largest); i++)
        {
            double difference = Math.Abs(actual[i] - expected[i]);
            if (!(difference <= largest)) (worst, largest) = (i, difference);
        }
        int width = expected.Length / length;
        return new ModuleDifference(name, largest, worst / width, worst % width, expected.Max(Math.Abs));
    }

    private static List<(string Name, float[] Values)> Outputs(LlamaModel model, int[] tokens)
    {
        var outputs = new List<(string, float[])>();
        model.Logits(new TokenBatch(tokens, [], 1), (name, output) => outputs.Add((name, output.ToFloats()))).Dispose();
        return outputs;
    }
}
