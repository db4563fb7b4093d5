namespace NeuronQuant.Models;

/// <summary>The table that turns tokens into vectors: forward copies rows, backward adds to them.</summary>
public static class Embedding
{
    /// <summary>y[r] = table[tokens[r]].</summary>
    /// <param name="tokens">[rows] token ids</param>
    /// <param name="table">[vocabulary, width]</param>
    /// <param name="y">[rows, width]</param>
    /// <param name="width">width of a row</param>
    /// <exception cref="ModelException">a token is outside of the vocabulary</exception>
    public static void Forward(ReadOnlySpan<int> tokens, ReadOnlySpan<float> table, Span<float> y, int width)
    {
        for (int r = 0; r < tokens.Length; r++)
        {
            if ((uint)tokens[r] >= (uint)(table.Length / width))
                throw new ModelException("embed_tokens", $"token {tokens[r]} at position {r} is outside of the vocabulary of {table.Length / width}. "
                    + "Is the tokenizer of another model?");
            table.Slice(tokens[r] * width, width).CopyTo(y[(r * width)..]);
        }
    }

    /// <summary>dtable[tokens[r]] += dy[r], row after row, so that the order of sums is fixed.</summary>
    /// <param name="tokens">[rows] token ids</param>
    /// <param name="dy">[rows, width]</param>
    /// <param name="dtable">[vocabulary, width], added to</param>
    /// <param name="width">width of a row</param>
    public static void Backward(ReadOnlySpan<int> tokens, ReadOnlySpan<float> dy, Span<float> dtable, int width)
    {
        for (int r = 0; r < tokens.Length; r++) VectorMath.AddScaled(dtable.Slice(tokens[r] * width, width), dy.Slice(r * width, width), 1);
    }
}
