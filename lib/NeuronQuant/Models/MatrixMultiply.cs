using System.Runtime.Intrinsics;

namespace NeuronQuant.Models;

/// <summary>The three multiplications of a linear layer, in float32, at the speed of the machine: y = x w^T and its two gradients.</summary>
/// <remarks>
/// A weight is [out, in], as Hugging Face stores it; x is [rows, in], y is [rows, out], all in C order. With d for a gradient of the loss:
///   Forward         y[r, o] (+)= sum over i of x[r, i] * w[o, i]
///   InputGradient   dx[r, i] (+)= sum over o of dy[r, o] * w[o, i]
///   WeightGradient  dw[o, i] (+)= sum over r of dy[r, o] * x[r, i]
/// Each is one blocked multiplication of matrices with strides (MatrixMultiplyBlocked); up to eight rows forward take a path that streams
/// the weight instead (MatrixMultiplyRows; for bf16 weights, which only decoding keeps, MatrixMultiplyTiles). Same input, same bits, for any number of threads; the width of
/// the machine's vectors does change the last bits. The slow readable twin is <see cref="Reference"/>.
/// </remarks>
public static unsafe class MatrixMultiply
{
    internal const int FewRows = 8; // Up to here streaming a weight is faster than packing it.

    /// <summary>Bits of the vectors in use: 512, 256 or 128, as the hardware has them.</summary>
    public static int VectorBits { get; } = Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : 128;

    /// <summary>y = x w^T, or y += x w^T.</summary>
    /// <param name="x">[rows, inner]</param>
    /// <param name="w">[outer, inner]</param>
    /// <param name="y">[rows, outer]</param>
    /// <param name="rows">rows of x: tokens</param>
    /// <param name="inner">in features</param>
    /// <param name="outer">out features</param>
    /// <param name="accumulate">add to y instead of replacing it</param>
    /// <exception cref="ArgumentException">a span is shorter than its shape</exception>
    public static void Forward(ReadOnlySpan<float> x, ReadOnlySpan<float> w, Span<float> y, int rows, int inner, int outer, bool accumulate = false)
    {
        Check(x.Length, w.Length, y.Length, rows, inner, outer);
        fixed (float* px = x, pw = w, py = y)
        {
            if (rows <= FewRows && !accumulate) Few(px, pw, py, rows, inner, outer, VectorBits);
            else Run(new Matrix(px, rows, inner, inner), new Matrix(pw, outer, inner, inner).Transposed, py, outer, accumulate, VectorBits);
        }
    }

    /// <summary>dx = dy w, or dx += dy w.</summary>
    /// <param name="dy">[rows, outer]</param>
    /// <param name="w">[outer, inner]</param>
    /// <param name="dx">[rows, inner]</param>
    /// <param name="rows">rows: tokens</param>
    /// <param name="inner">in features</param>
    /// <param name="outer">out features</param>
    /// <param name="accumulate">add to dx instead of replacing it</param>
    /// <exception cref="ArgumentException">a span is shorter than its shape</exception>
    public static void InputGradient(ReadOnlySpan<float> dy, ReadOnlySpan<float> w, Span<float> dx, int rows, int inner, int outer, bool accumulate = false)
    {
        Check(dx.Length, w.Length, dy.Length, rows, inner, outer);
        fixed (float* pdy = dy, pw = w, pdx = dx)
            Run(new Matrix(pdy, rows, outer, outer), new Matrix(pw, outer, inner, inner), pdx, inner, accumulate, VectorBits);
    }

    /// <summary>dw += dy^T x, or dw = dy^T x.</summary>
    /// <param name="dy">[rows, outer]</param>
    /// <param name="x">[rows, inner]</param>
    /// <param name="dw">[outer, inner]</param>
    /// <param name="rows">rows: tokens</param>
    /// <param name="inner">in features</param>
    /// <param name="outer">out features</param>
    /// <param name="accumulate">add to dw, as gradients do, or replace it</param>
    /// <exception cref="ArgumentException">a span is shorter than its shape</exception>
    public static void WeightGradient(ReadOnlySpan<float> dy, ReadOnlySpan<float> x, Span<float> dw, int rows, int inner, int outer, bool accumulate = true)
    {
        Check(x.Length, dw.Length, dy.Length, rows, inner, outer);
        fixed (float* pdy = dy, px = x, pdw = dw)
            Run(new Matrix(pdy, rows, outer, outer).Transposed, new Matrix(px, rows, inner, inner), pdw, inner, accumulate, VectorBits);
    }

    /// <summary>The slow readable twin of all three, in float64: c[m, n] = a[m, k] * b[k, n], plain loops.</summary>
    /// <param name="a">element (i, p) of the left factor</param>
    /// <param name="b">element (p, j) of the right factor</param>
    /// <param name="m">rows of the result</param>
    /// <param name="n">columns of the result</param>
    /// <param name="k">length of the sums</param>
    public static double[] Reference(Func<int, int, double> a, Func<int, int, double> b, int m, int n, int k)
    {
        var c = new double[m * n];
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
                for (int p = 0; p < k; p++) c[i * n + j] += a(i, p) * b(p, j);
        return c;
    }

    /// <summary>target (+)= left * right for any strides, with vectors of so many bits.</summary>
    internal static void Run(Matrix left, Matrix right, float* target, nint stride, bool accumulate, int bits)
    {
        if (bits == 512) MatrixMultiplyBlocked<Kernel512>.Run(left, right, target, stride, accumulate);
        else if (bits == 256) MatrixMultiplyBlocked<KernelNarrow<Lanes256, Vector256<float>>>.Run(left, right, target, stride, accumulate);
        else MatrixMultiplyBlocked<KernelNarrow<Lanes128, Vector128<float>>>.Run(left, right, target, stride, accumulate);
    }

    /// <summary>y = x w^T by streaming the weight, with vectors of so many bits.</summary>
    internal static void Few(float* x, float* w, float* y, int rows, int inner, int outer, int bits)
    {
        if (bits == 512) MatrixMultiplyRows<Lanes512, Vector512<float>>.Run(x, w, y, rows, inner, outer);
        else if (bits == 256) MatrixMultiplyRows<Lanes256, Vector256<float>>.Run(x, w, y, rows, inner, outer);
        else MatrixMultiplyRows<Lanes128, Vector128<float>>.Run(x, w, y, rows, inner, outer);
    }

    /// <summary>y = x w^T by streaming a bf16 weight in tiles, with vectors of the width that it is laid out for.</summary>
    internal static void Few(float* x, TiledWeight w, float* y, int rows)
    {
        if (w.Bits == 512) MatrixMultiplyTiles<Lanes512, Vector512<float>>.Run(x, w, y, rows);
        else if (w.Bits == 256) MatrixMultiplyTiles<Lanes256, Vector256<float>>.Run(x, w, y, rows);
        else MatrixMultiplyTiles<Lanes128, Vector128<float>>.Run(x, w, y, rows);
    }

    private static void Check(int x, int w, int y, int rows, int inner, int outer)
    {
        if (rows < 0 || inner <= 0 || outer <= 0 || x < (long)rows * inner || w < (long)outer * inner || y < (long)rows * outer)
            throw new ArgumentException($"x [{rows}, {inner}], w [{outer}, {inner}] and y [{rows}, {outer}] do not fit spans of {x}, {w} and {y} values.");
    }
}
