namespace NeuronQuant.Models;

/// <summary>The loss of predicting the next token: minus the log of the probability that the logits give it, in nats.</summary>
/// <remarks>
/// loss = log(sum over v of e^(z_v)) - z_target, computed from the largest logit so that nothing overflows; the gradient is
/// dz = (softmax(z) - onehot(target)) * weight, written over the logits, which then need no second buffer of [rows, vocabulary].
/// A target of <see cref="Ignored"/> has no loss and a zero gradient.
/// </remarks>
public static class CrossEntropy
{
    /// <summary>The target of a position that does not count.</summary>
    public const int Ignored = -1;

    /// <summary>Losses of rows of logits, which become their gradients.</summary>
    /// <param name="logits">[rows, vocabulary]; replaced by the gradient</param>
    /// <param name="targets">[rows] token ids, or <see cref="Ignored"/></param>
    /// <param name="losses">[rows], nats</param>
    /// <param name="vocabulary">tokens in the vocabulary</param>
    /// <param name="weight">what the gradient is multiplied by: 1 / number of counted tokens for a mean</param>
    public static void ForwardBackward(float[] logits, ReadOnlyMemory<int> targets, Memory<float> losses, int vocabulary, float weight)
    {
        RowParts.Each(targets.Length, r =>
        {
            var row = logits.AsSpan(r * vocabulary, vocabulary);
            int target = targets.Span[r];
            losses.Span[r] = target == Ignored ? 0 : -LogProbability(row, target);
            if (target == Ignored)
            {
                row.Clear();
                return;
            }
            float sum = VectorMath.ExpInPlace(row, 1, VectorMath.Maximum(row));
            VectorMath.Scale(row, weight / sum);
            row[target] -= weight;
        });
    }

    /// <summary>Natural logarithm of the probability of a token, by one row of logits.</summary>
    /// <param name="logits">[vocabulary]</param>
    /// <param name="token">the token</param>
    public static float LogProbability(ReadOnlySpan<float> logits, int token)
    {
        float largest = VectorMath.Maximum(logits);
        double sum = 0;
        Span<float> block = stackalloc float[256];
        for (int i = 0; i < logits.Length; i += block.Length)
        {
            var part = block[..Math.Min(block.Length, logits.Length - i)];
            logits.Slice(i, part.Length).CopyTo(part);
            sum += VectorMath.ExpInPlace(part, 1, largest);
        }
        return (float)(logits[token] - largest - Math.Log(sum));
    }
}
