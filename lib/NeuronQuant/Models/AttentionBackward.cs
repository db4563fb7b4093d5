using System.Numerics;
using System.Runtime.InteropServices;

namespace NeuronQuant.Models;

/// <content>
/// The gradient of attention. With p computed again from the kept logarithm: dv_j = sum over i of p[i, j] * dy_i; dp[i, j] = dy_i . v_j;
/// ds[i, j] = p[i, j] * (dp[i, j] - dy_i . y_i) / sqrt(head size); dq_i = sum over j of ds[i, j] * k_j; dk_j = sum over i of ds[i, j] * q_i.
/// One key-value head with all its query heads is a unit of work, so that the sums of dk and dv have one owner and one order.
/// </content>
public static unsafe partial class Attention
{
    /// <summary>Gradients of q, k and v, which are replaced.</summary>
    /// <param name="q">[sequences * length, heads * head size], as in forward</param>
    /// <param name="k">[sequences * length, key-value heads * head size]</param>
    /// <param name="v">[sequences * length, key-value heads * head size]</param>
    /// <param name="y">[sequences * length, heads * head size], forward's result</param>
    /// <param name="logSums">[sequences, heads, length], from forward</param>
    /// <param name="dy">[sequences * length, heads * head size]</param>
    /// <param name="dq">[sequences * length, heads * head size]</param>
    /// <param name="dk">[sequences * length, key-value heads * head size]</param>
    /// <param name="dv">[sequences * length, key-value heads * head size]</param>
    /// <param name="shape">sizes</param>
    public static void Backward(float[] q, float[] k, float[] v, float[] y, float[] logSums, float[] dy, float[] dq, float[] dk, float[] dv,
        AttentionShape shape)
    {
        int rows = shape.Sequences * shape.Length;
        Array.Clear(dk, 0, rows * shape.KeyWidth);
        Array.Clear(dv, 0, rows * shape.KeyWidth);
        RowParts.Each(shape.Sequences * shape.KeyValueHeads, unit =>
        {
            int sequence = unit / shape.KeyValueHeads, keyHead = unit % shape.KeyValueHeads;
            fixed (float* pq = q, pk = k, pv = v, py = y, pdy = dy, pdq = dq, pdk = dk, pdv = dv)
            {
                Matrix keys = HeadOf(pk, sequence, keyHead, shape, shape.KeyWidth), values = HeadOf(pv, sequence, keyHead, shape, shape.KeyWidth);
                Matrix dkeys = HeadOf(pdk, sequence, keyHead, shape, shape.KeyWidth), dvalues = HeadOf(pdv, sequence, keyHead, shape, shape.KeyWidth);
                for (int head = keyHead * shape.Group; head < (keyHead + 1) * shape.Group; head++)
                    BackwardHead(HeadOf(pq, sequence, head, shape, shape.QueryWidth), keys, values, HeadOf(py, sequence, head, shape, shape.QueryWidth),
                        HeadOf(pdy, sequence, head, shape, shape.QueryWidth), HeadOf(pdq, sequence, head, shape, shape.QueryWidth), dkeys, dvalues,
                        logSums.AsSpan((sequence * shape.Heads + head) * shape.Length, shape.Length), shape);
            }
        });
    }

    private static void BackwardHead(Matrix q, Matrix k, Matrix v, Matrix y, Matrix dy, Matrix dq, Matrix dk, Matrix dv, ReadOnlySpan<float> logSums,
        AttentionShape shape)
    {
        int bits = MatrixMultiply.VectorBits;
        float* scores = Scratch.Get(ScratchUse.Scores, QueryBlock * shape.Length);
        float* gradients = Scratch.Get(ScratchUse.ScoreGradients, QueryBlock * shape.Length);
        for (int first = 0; first < shape.Length; first += QueryBlock)
        {
            int count = Math.Min(QueryBlock, shape.Length - first), from = shape.FirstKey(first), width = first + count - from;
            Matrix queries = q.RowRange(first, count), keys = k.RowRange(from, width), dys = dy.RowRange(first, count);
            MatrixMultiply.Run(queries, keys.Transposed, scores, width, false, bits);
            MatrixMultiply.Run(dys, v.RowRange(from, width).Transposed, gradients, width, false, bits);
            for (int i = 0; i < count; i++)
            {
                float mean = VectorMath.Dot(new Span<float>(dys.At(i, 0), shape.HeadSize), new Span<float>(y.At(first + i, 0), shape.HeadSize));
                BackwardRow(new Span<float>(scores + (nint)i * width, width), new Span<float>(gradients + (nint)i * width, width),
                    shape.FirstKey(first + i) - from, first + i + 1 - from, shape.Scale, logSums[first + i], mean);
            }
            Matrix probabilities = new(scores, count, width, width), ds = new(gradients, count, width, width);
            MatrixMultiply.Run(probabilities.Transposed, dys, dv.At(from, 0), dv.RowStride, true, bits);
            MatrixMultiply.Run(ds, keys, dq.At(first, 0), dq.RowStride, false, bits);
            MatrixMultiply.Run(ds.Transposed, queries, dk.At(from, 0), dk.RowStride, true, bits);
        }
    }

    // Scores become probabilities, and their gradients, given as dp, become ds; zero outside of [first, last).
    private static void BackwardRow(Span<float> scores, Span<float> gradients, int first, int last, float scale, float logSum, float mean)
    {
        Span<float> p = scores[first..last], d = gradients[first..last];
        VectorMath.ExpInPlace(p, scale, logSum);
        Span<Vector<float>> ps = MemoryMarshal.Cast<float, Vector<float>>(p), ds = MemoryMarshal.Cast<float, Vector<float>>(d);
        for (int i = 0; i < ps.Length; i++) ds[i] = ps[i] * (ds[i] - new Vector<float>(mean)) * scale;
        for (int i = ps.Length * Vector<float>.Count; i < p.Length; i++) d[i] = p[i] * (d[i] - mean) * scale;
        scores[..first].Clear();
        scores[last..].Clear();
        gradients[..first].Clear();
        gradients[last..].Clear();
    }
}
