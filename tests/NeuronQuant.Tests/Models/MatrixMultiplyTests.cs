using NeuronQuant.Formats;
using NeuronQuant.Models;
using Xunit;

namespace NeuronQuant.Tests.Models;

/// <summary>The fast multiplications against plain float64 loops, on sizes that fill no tile, with vectors of each width.</summary>
public unsafe class MatrixMultiplyTests
{
    // Sums of up to 300 products of normal numbers in float32: the error stays below 300 * 2^-24 * the sum of magnitudes, about 5e-5.
    private const double Tolerance = 1e-4;

    public static TheoryData<int, int, int, int> Cases()
    {
        var cases = new TheoryData<int, int, int, int>();
        foreach (int bits in new[] { 512, 256, 128 })
            foreach (var (m, n, k) in new[] { (1, 1, 1), (13, 33, 7), (12, 32, 256), (5, 17, 300), (101, 67, 259), (25, 530, 31) })
                cases.Add(bits, m, n, k);
        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_layout_and_width_equals_plain_loops(int bits, int m, int n, int k)
    {
        float[] a = TestWeights.Normal(m * k, 1, 1), b = TestWeights.Normal(k * n, 2, 1), start = TestWeights.Normal(m * n, 3, 1);
        fixed (float* pa = a, pb = b)
        {
            Matrix[] lefts = [new(pa, m, k, k), new Matrix(pa, k, m, m).Transposed], rights = [new(pb, k, n, n), new Matrix(pb, n, k, k).Transposed];
            foreach (var left in lefts)
                foreach (var right in rights)
                    foreach (bool accumulate in new[] { false, true })
                    {
                        Matrix l = left, r = right;
                        double[] expected = MatrixMultiply.Reference((i, p) => *l.At(i, p), (p, j) => *r.At(p, j), m, n, k);
                        float[] actual = [.. start];
                        fixed (float* pc = actual) MatrixMultiply.Run(l, r, pc, n, accumulate, bits);
                        for (int i = 0; i < actual.Length; i++) Assert.Equal(expected[i] + (accumulate ? start[i] : 0), actual[i], Tolerance);
                    }
        }
    }

    [Theory]
    [InlineData(1, 64, 64)]
    [InlineData(1, 7, 3)]
    [InlineData(3, 131, 21)]
    [InlineData(4, 300, 513)]
    [InlineData(8, 33, 6)]
    [InlineData(6, 48, 9)]
    public void Few_rows_equal_plain_loops_for_both_types_and_all_widths(int rows, int inner, int outer)
    {
        float[] x = TestWeights.Normal(rows * inner, 1, 1), w = TestWeights.Normal(outer * inner, 2, 1), y = new float[rows * outer], z = new float[rows * outer];
        var codes = new ushort[w.Length];
        BFloat16.Encode(w, codes);
        BFloat16.Decode(codes, w);
        double[] expected = MatrixMultiply.Reference((r, i) => x[r * inner + i], (i, o) => w[o * inner + i], rows, outer, inner);
        foreach (int bits in new[] { 512, 256, 128 })
        {
            fixed (float* px = x, pw = w, py = y, pz = z)
            {
                MatrixMultiply.Few(px, pw, py, rows, inner, outer, bits);
                MatrixMultiply.Few(px, new TiledWeight(codes, inner, outer, bits), pz, rows);
            }
            for (int i = 0; i < y.Length; i++) Assert.Equal(expected[i], y[i], Tolerance);
            Assert.Equal(y, z);
        }
    }

    [Fact]
    public void The_three_public_products_are_those_of_a_linear_layer()
    {
        const int rows = 19, inner = 45, outer = 71;
        float[] x = TestWeights.Normal(rows * inner, 1, 1), w = TestWeights.Normal(outer * inner, 2, 1), dy = TestWeights.Normal(rows * outer, 3, 1);
        float[] y = new float[rows * outer], dx = new float[rows * inner], dw = new float[outer * inner];
        MatrixMultiply.Forward(x, w, y, rows, inner, outer);
        MatrixMultiply.InputGradient(dy, w, dx, rows, inner, outer);
        MatrixMultiply.WeightGradient(dy, x, dw, rows, inner, outer);
        AssertNear(MatrixMultiply.Reference((r, i) => x[r * inner + i], (i, o) => w[o * inner + i], rows, outer, inner), y);
        AssertNear(MatrixMultiply.Reference((r, o) => dy[r * outer + o], (o, i) => w[o * inner + i], rows, inner, outer), dx);
        AssertNear(MatrixMultiply.Reference((o, r) => dy[r * outer + o], (r, i) => x[r * inner + i], outer, inner, rows), dw);
    }

    [Fact]
    public void The_same_input_gives_the_same_bits_even_from_many_threads_at_once()
    {
        const int rows = 150, inner = 300, outer = 200;
        float[] x = TestWeights.Normal(rows * inner, 1, 1), w = TestWeights.Normal(outer * inner, 2, 1);
        var results = new float[8][];
        Parallel.For(0, results.Length, t =>
        {
            results[t] = new float[rows * outer];
            MatrixMultiply.Forward(x, w, results[t], rows, inner, outer);
        });
        foreach (var result in results) Assert.Equal(results[0], result);
    }

    [Fact]
    public void A_row_alone_has_the_bits_it_has_among_others()
    {
        const int rows = 7, inner = 100, outer = 41;
        float[] x = TestWeights.Normal(rows * inner, 1, 1), w = TestWeights.Normal(outer * inner, 2, 1), all = new float[rows * outer], one = new float[outer];
        MatrixMultiply.Forward(x, w, all, rows, inner, outer);
        for (int r = 0; r < rows; r++)
        {
            MatrixMultiply.Forward(x.AsSpan(r * inner, inner), w, one, 1, inner, outer);
            Assert.Equal(all.AsSpan(r * outer, outer).ToArray(), one);
        }
    }

    [Fact]
    public void Spans_that_are_too_short_are_refused()
    {
        var error = Assert.Throws<ArgumentException>(() => MatrixMultiply.Forward(new float[5], new float[6], new float[4], 2, 3, 2));
        Assert.Contains("x [2, 3]", error.Message);
    }

    private static void AssertNear(double[] expected, float[] actual)
    {
        for (int i = 0; i < actual.Length; i++) Assert.Equal(expected[i], actual[i], Tolerance);
    }
}
