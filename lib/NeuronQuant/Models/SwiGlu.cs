using System.Numerics;
using System.Runtime.InteropServices;

namespace NeuronQuant.Models;

/// <summary>The gated activation of the MLP: y = silu(gate) * up, with silu(g) = g * sigmoid(g).</summary>
/// <remarks>
/// Backward, with s = sigmoid(gate): dgate = dy * up * s * (1 + gate * (1 - s)), dup = dy * gate * s. The sigmoid is computed again in
/// backward; it costs less than the memory to keep it. Source: Shazeer, "GLU variants improve transformer", 2020.
/// </remarks>
public static class SwiGlu
{
    private const int BlockSize = 4096; // Values a part handles: a few microseconds.

    /// <summary>y = silu(gate) * up.</summary>
    /// <param name="gate">[rows, width]</param>
    /// <param name="up">[rows, width]</param>
    /// <param name="y">[rows, width]</param>
    /// <param name="count">rows * width</param>
    public static void Forward(float[] gate, float[] up, float[] y, int count) => Blocks(count, (first, length) =>
        Forward(gate.AsSpan(first, length), up.AsSpan(first, length), y.AsSpan(first, length)));

    /// <summary>y = silu(gate) * up, of spans of one length, on the calling thread.</summary>
    /// <param name="gate">[any]</param>
    /// <param name="up">[any]</param>
    /// <param name="y">[any]; may be gate or up</param>
    public static void Forward(ReadOnlySpan<float> gate, ReadOnlySpan<float> up, Span<float> y)
    {
        ReadOnlySpan<Vector<float>> gates = MemoryMarshal.Cast<float, Vector<float>>(gate), ups = MemoryMarshal.Cast<float, Vector<float>>(up);
        var ys = MemoryMarshal.Cast<float, Vector<float>>(y);
        for (int i = 0; i < gates.Length; i++) ys[i] = gates[i] * Sigmoid(gates[i]) * ups[i];
        for (int i = gates.Length * Vector<float>.Count; i < gate.Length; i++) y[i] = gate[i] * Sigmoid(new Vector<float>(gate[i]))[0] * up[i];
    }

    /// <summary>The gradients of gate and up.</summary>
    /// <param name="gate">[rows, width]</param>
    /// <param name="up">[rows, width]</param>
    /// <param name="dy">[rows, width]</param>
    /// <param name="dgate">[rows, width], replaced</param>
    /// <param name="dup">[rows, width], replaced; may be dy</param>
    /// <param name="count">rows * width</param>
    public static void Backward(float[] gate, float[] up, float[] dy, float[] dgate, float[] dup, int count) => Blocks(count, (first, length) =>
    {
        int whole = length - length % Vector<float>.Count, i = first;
        for (; i < first + whole; i += Vector<float>.Count)
        {
            Vector<float> g = new(gate, i), d = new(dy, i), s = Sigmoid(g);
            (d * new Vector<float>(up, i) * s * (Vector<float>.One + g * (Vector<float>.One - s))).CopyTo(dgate, i);
            (d * g * s).CopyTo(dup, i);
        }
        for (; i < first + length; i++)
        {
            float s = Sigmoid(new Vector<float>(gate[i]))[0], d = dy[i];
            dgate[i] = d * up[i] * s * (1 + gate[i] * (1 - s));
            dup[i] = d * gate[i] * s;
        }
    });

    private static Vector<float> Sigmoid(Vector<float> x) => Vector<float>.One / (Vector<float>.One + VectorMath.Exp(-x));

    private static void Blocks(int count, Action<int, int> body) =>
        RowParts.Each((count + BlockSize - 1) / BlockSize, block => body(block * BlockSize, Math.Min(BlockSize, count - block * BlockSize)));
}
