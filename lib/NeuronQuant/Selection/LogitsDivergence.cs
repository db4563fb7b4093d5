using NeuronQuant.Models;

namespace NeuronQuant.Selection;

/// <summary>KL divergence of predictions from logits, exact also where two models nearly agree.</summary>
/// <remarks>
/// KL(p || q) with logits z and z' = z + d: log sum p e^d - sum p d. Both terms are much larger than their difference, so d is first
/// centred by its mean under p, which leaves log(1 + sum p (e^d - 1 - d)): every term is positive and small, and int8's 1e-5 nats keep
/// their digits in float64 though logits are float32.
/// </remarks>
internal static class LogitsDivergence
{
    /// <summary>Sum over rows of KL(softmax(original) || softmax(changed)), nats.</summary>
    /// <param name="original">[rows, vocabulary]</param>
    /// <param name="changed">[rows, vocabulary]</param>
    /// <param name="vocabulary">tokens in the vocabulary</param>
    public static double Sum(float[] original, float[] changed, int vocabulary)
    {
        var sums = new double[original.Length / vocabulary];
        RowParts.Each(sums.Length, row => sums[row] = Row(original.AsSpan(row * vocabulary, vocabulary), changed.AsSpan(row * vocabulary, vocabulary)));
        return sums.Sum();
    }

    private static double Row(ReadOnlySpan<float> original, ReadOnlySpan<float> changed)
    {
        float largest = VectorMath.Maximum(original);
        double total = 0, mean = 0;
        for (int i = 0; i < original.Length; i++)
        {
            double p = Math.Exp(original[i] - largest);
            (total, mean) = (total + p, mean + p * ((double)changed[i] - original[i]));
        }
        mean /= total;
        double sum = 0;
        for (int i = 0; i < original.Length; i++)
        {
            double d = (double)changed[i] - original[i] - mean;
            sum += Math.Exp(original[i] - largest) * (Math.Exp(d) - 1 - d);
        }
        return Math.Log(1 + sum / total);
    }
}

/// <summary>The rest of a model behind one layer, run again on what a whole pass kept: a change in layer l needs no layer before it.</summary>
internal sealed class ModelTail(LlamaModel model)
{
    private readonly BlockActivations _kept = new();
    private float[] _stream = [], _scales = [], _logits = [];

    /// <summary>Logits of one sequence, [rows, vocabulary]; valid until the next call.</summary>
    /// <param name="pass">after a forward pass of the sequence</param>
    /// <param name="layer">the first layer to run again; null for the head alone</param>
    /// <param name="rows">tokens of the sequence</param>
    public float[] Logits(ModelPass pass, int? layer, int rows)
    {
        int hidden = model.Config.HiddenSize;
        if (_logits.Length != rows * model.Config.VocabularySize)
            (_stream, _scales, _logits) = (new float[rows * hidden], new float[rows], new float[rows * model.Config.VocabularySize]);
        if (layer is int first)
        {
            pass.Activations[first].Input.AsSpan(0, rows * hidden).CopyTo(_stream);
            foreach (var block in model.Blocks.Skip(first)) block.Forward(_stream, _stream, 1, rows, _kept);
            RmsNorm.Forward(_stream, model.Norm.Values, _stream, _scales, rows, (float)model.Config.RmsNormEpsilon);
        }
        else pass.Normed.AsSpan(0, rows * hidden).CopyTo(_stream);
        model.Head.Forward(_stream, _logits, rows);
        return _logits;
    }
}
