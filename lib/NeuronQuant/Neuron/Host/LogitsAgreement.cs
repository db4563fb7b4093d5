using NeuronQuant.Models;
using NeuronQuant.Tensors;

namespace NeuronQuant.Neuron;

/// <summary>Whether two sets of logits after one prompt are of the same model.</summary>
/// <remarks>
/// Cosine: of the two vectors less their means, since a constant changes no probability. A device that multiplies in bf16 stays above 0.999 on a
/// small
/// model; codes taken for weights, a scale on the wrong row or a module quantized on one side only fall far below the bound. It is a bound for the
/// same codes, not for comparing a quantized model with its original.
/// </remarks>
/// <param name="Count">logits that were given</param>
/// <param name="Expected">size of the vocabulary</param>
/// <param name="Cosine">-1 to 1; NaN when the counts differ</param>
/// <param name="LargestDifference">of the centred logits, in nats; NaN when the counts differ</param>
/// <param name="Spread">largest magnitude of the expected logits, centred, in nats: what a difference is small or large beside</param>
public sealed record LogitsAgreement(int Count, int Expected, double Cosine, double LargestDifference, double Spread)
{
    private const double LeastCosine = 0.99;

    /// <summary>True when they are of the same model, as far as one prompt can tell.</summary>
    public bool Agree => Cosine >= LeastCosine;

    /// <summary>Compares given logits with those of the engine.</summary>
    /// <param name="given">[vocabulary], after the prompt</param>
    /// <param name="model">a model in memory with the same weights</param>
    /// <param name="ids">the prompt's tokens</param>
    public static LogitsAgreement Of(float[] given, LlamaModel model, int[] ids)
    {
        ArgumentNullException.ThrowIfNull(given);
        ArgumentNullException.ThrowIfNull(model);
        float[] expected = Torch.Run(() => model.Logits(new TokenBatch(ids, [], 1))[0, -1].ToFloats());
        if (given.Length != expected.Length) return new LogitsAgreement(given.Length, expected.Length, double.NaN, double.NaN, double.NaN);
        double[] a = Centred(given), b = Centred(expected);
        double Product(double[] x, double[] y) => x.Zip(y, (u, v) => u * v).Sum();
        double cosine = Product(a, b) / Math.Sqrt(Product(a, a) * Product(b, b)), difference = a.Zip(b, (u, v) => Math.Abs(u - v)).Max();
        return new LogitsAgreement(given.Length, expected.Length, cosine, difference, b.Max(Math.Abs));
    }

    /// <inheritdoc/>
    public override string ToString() => Count != Expected ? $"{Count} logits, but the vocabulary has {Expected}"
        : FormattableString.Invariant($"cosine {Cosine:0.00000} with the engine's, largest difference {LargestDifference:0.0E+0} nats");

    private static double[] Centred(float[] values)
    {
        double mean = values.Average(value => (double)value);
        return [.. values.Select(value => value - mean)];
    }
}
