namespace NeuronQuant.Models;

/// <summary>Sizes of an attention: which rows are sequences, which columns are heads.</summary>
/// <param name="Sequences">Sequences in the batch.</param>
/// <param name="Length">Tokens of each, padding included.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyValueHeads">Key and value heads; query head h reads h * KeyValueHeads / Heads.</param>
/// <param name="HeadSize">Width of a head.</param>
/// <param name="Window">Positions that a query sees, its own included; null for all before it.</param>
public sealed record AttentionShape(int Sequences, int Length, int Heads, int KeyValueHeads, int HeadSize, int? Window = null)
{
    internal float Scale => 1f / MathF.Sqrt(HeadSize);

    internal int QueryWidth => Heads * HeadSize;

    internal int KeyWidth => KeyValueHeads * HeadSize;

    internal int Group => Heads / KeyValueHeads;

    internal int FirstKey(int query) => Window is int window ? Math.Max(0, query - window + 1) : 0;
}

/// <summary>Causal attention with grouped queries: each token takes a weighted mean of the values at and before it.</summary>
/// <remarks>
/// Per head: score[i, j] = q_i . k_j / sqrt(head size) for j &lt;= i, p = softmax over j, y_i = sum over j of p[i, j] * v_j.
/// Queries go in blocks of 64, so that the scores of a block stay in the cache and nothing above the diagonal is computed but the last
/// block. Kept for backward is one number a query, log(sum of e^score); the probabilities are computed again there. A sequence padded at
/// its end needs no mask: no real token looks at a later one.
/// Source: Vaswani et al., 2017; Ainslie et al., "GQA", 2023; keeping the logarithm alone is FlashAttention's idea (Dao et al., 2022).
/// </remarks>
public static unsafe partial class Attention
{
    internal const int QueryBlock = 64;

    /// <summary>Attention of whole sequences.</summary>
    /// <param name="q">[sequences * length, heads * head size], already turned</param>
    /// <param name="k">[sequences * length, key-value heads * head size], already turned</param>
    /// <param name="v">[sequences * length, key-value heads * head size]</param>
    /// <param name="y">[sequences * length, heads * head size]</param>
    /// <param name="logSums">[sequences, heads, length], for backward</param>
    /// <param name="shape">sizes</param>
    public static void Forward(float[] q, float[] k, float[] v, float[] y, float[] logSums, AttentionShape shape) =>
        RowParts.Each(shape.Sequences * shape.Heads, unit =>
        {
            fixed (float* pq = q, pk = k, pv = v, py = y)
            {
                int sequence = unit / shape.Heads, head = unit % shape.Heads;
                Matrix queries = HeadOf(pq, sequence, head, shape, shape.QueryWidth), target = HeadOf(py, sequence, head, shape, shape.QueryWidth);
                Matrix keys = HeadOf(pk, sequence, head / shape.Group, shape, shape.KeyWidth);
                Matrix values = HeadOf(pv, sequence, head / shape.Group, shape, shape.KeyWidth);
                ForwardHead(queries, keys, values, target, logSums.AsSpan(unit * shape.Length, shape.Length), shape);
            }
        });

    internal static Matrix HeadOf(float* data, int sequence, int head, AttentionShape shape, int width) =>
        new(data + (nint)sequence * shape.Length * width + head * shape.HeadSize, shape.Length, shape.HeadSize, width);

    private static void ForwardHead(Matrix queries, Matrix keys, Matrix values, Matrix target, Span<float> logSums, AttentionShape shape)
    {
        float* scores = Scratch.Get(ScratchUse.Scores, QueryBlock * shape.Length);
        for (int first = 0; first < shape.Length; first += QueryBlock)
        {
            int count = Math.Min(QueryBlock, shape.Length - first), from = shape.FirstKey(first), width = first + count - from;
            MatrixMultiply.Run(queries.RowRange(first, count), keys.RowRange(from, width).Transposed, scores, width, false, MatrixMultiply.VectorBits);
            for (int i = 0; i < count; i++)
            {
                var row = new Span<float>(scores + (nint)i * width, width);
                logSums[first + i] = Softmax(row, shape.FirstKey(first + i) - from, first + i + 1 - from, shape.Scale);
            }
            var block = target.RowRange(first, count);
            MatrixMultiply.Run(new Matrix(scores, count, width, width), values.RowRange(from, width), block.Data, block.RowStride, false,
                MatrixMultiply.VectorBits);
        }
    }

    // Columns [first, last) become probabilities, the others zero; returns the logarithm of the sum.
    internal static float Softmax(Span<float> row, int first, int last, float scale)
    {
        var seen = row[first..last];
        float shift = VectorMath.Maximum(seen) * scale;
        float sum = VectorMath.ExpInPlace(seen, scale, shift);
        VectorMath.Scale(seen, 1f / sum);
        row[..first].Clear();
        row[last..].Clear();
        return shift + MathF.Log(sum);
    }
}
