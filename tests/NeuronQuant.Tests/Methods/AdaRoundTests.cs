using NeuronQuant.Methods;
using NeuronQuant.Quantization;
using NeuronQuant.Tuning;
using TorchSharp;
using Xunit;

namespace NeuronQuant.Tests.Methods;

/// <summary>AdaRound's formulas, its descent against a plain one in double precision, and what it promises of every weight.</summary>
public class AdaRoundTests
{
    private const int Rows = 5, Columns = 11;

    [Fact]
    public void Formulas_are_the_paper_s()
    {
        Assert.Equal(-Math.Log(2), AdaRound.Initial(0.3), 1e-12);
        Assert.Equal(-Math.Log(11), AdaRound.Initial(0), 1e-12);
        Assert.Equal(0.3, AdaRound.Height(AdaRound.Initial(0.3)), 1e-12);
        Assert.Equal((0.0, 1.0), (AdaRound.Height(-3), AdaRound.Height(3)));
        Assert.Equal([20.0, 11, 2], new[] { 0, 0.5, 1 }.Select(AdaRound.Beta));
        Assert.Equal(1 - 1.1e-8, AdaRound.Term(0.3, 20), 1e-9);
        Assert.Equal(0.84, AdaRound.Term(0.3, 2), 1e-12);
    }

    [Theory]
    [InlineData(3, null, true)]
    [InlineData(4, 4, true)]
    [InlineData(8, null, false)]
    public void The_descent_is_that_of_its_definition(int bits, int? group, bool search)
    {
        var (weight, gram) = (TestWeights.Matrix(Rows, Columns, 2), Gram());
        var grid = group is int size ? Grid.Nxd(bits).InGroups(size) : Grid.Nxd(bits);
        var options = new AdaRoundOptions(600, 2e-2, SearchRange: search);
        var found = AdaRound.Quantize(weight, gram, grid, options, torch.ScalarType.Float64, default);
        Assert.True(found.Learned);
        sbyte[] expected = Reference(weight, gram, grid, options);
        Assert.Equal(expected, found.Weight.Integers.ToArray());
        var single = AdaRound.Quantize(weight, gram, grid, options);
        Assert.InRange(single.Weight.Integers.ToArray().Zip(expected).Count(pair => pair.First == pair.Second), 0.95 * expected.Length,
            expected.Length);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(8)]
    public void Codes_are_floor_or_ceiling_the_error_falls_and_nothing_is_left_between(int bits)
    {
        var weight = TestWeights.Matrix(24, 32, 4);
        var gram = GramMatrix.Of(Correlated(80, 32), 32);
        var found = AdaRound.Quantize(weight, gram, Grid.Nxd(bits), new AdaRoundOptions(SearchRange: false));
        Assert.Equal(0, found.Soft);
        Assert.InRange(found.Error, 0, 0.9 * found.RoundedError);
        float[] values = weight.ToArray();
        for (int i = 0; i < values.Length; i++)
            Assert.InRange(Math.Abs(found.Weight.Integers[i] - (double)(values[i] / found.Weight.Scale(i / 32))), 0,
                bits == 8 ? 1.6 : 1); // At 8 bits the largest is pinned.
        if (bits == 8) Assert.Equal(0, SecondRounding.Replay(found.Weight).Changed);
    }

    [Fact]
    public void Too_short_a_run_leaves_soft_weights_and_says_so()
    {
        var (weight, gram) = (TestWeights.Matrix(Rows, Columns, 2), Gram());
        var error = Assert.Throws<TuningException>(() => AdaRound.Quantize(weight, gram, Grid.Nxd(3), new AdaRoundOptions(5)));
        Assert.Contains("between two codes", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_negative_largest_weight_stays_on_the_largest_code()
    {
        float[] values = TestWeights.Normal(Columns, 8);
        values[4] = -0.3f;
        var found = AdaRound.Quantize(WeightMatrix.Of("w", values, 1, Columns), Gram(), Grid.Nxd());
        Assert.Equal(-127, found.Weight.Integers[4]);
    }

    private static GramMatrix Gram() => GramMatrix.Of(Correlated(60, Columns), Columns);

    // Inputs with a common part, so that errors can cancel.
    private static float[] Correlated(int tokens, int size)
    {
        float[] x = TestWeights.Normal(tokens * size, 11, 1), shared = TestWeights.Normal(tokens, 12, 2);
        for (int i = 0; i < x.Length; i++) x[i] += shared[i / size];
        return x;
    }

    private static sbyte[] Reference(WeightMatrix weight, GramMatrix gram, Grid grid, AdaRoundOptions options)
    {
        var start = options.SearchRange ? Clipping.Search(weight, grid).Weight : FakeQuantization.OnGrid(weight, grid);
        float[] w = weight.ToArray();
        int n = w.Length;
        var (v, m, u) = (new double[n], new double[n], new double[n]);
        double[] scale = [.. Enumerable.Range(0, n).Select(i => (double)start.Scale(i / Columns, i % Columns))];
        double[] floor = [.. w.Select((value, i) => Math.Floor(value / scale[i]))];
        bool[] free = [.. floor.Select((f, i) => f >= grid.Minimum && f < grid.Maximum
            && !(grid == Grid.Nxd() && w.Skip(i / Columns * Columns).Take(Columns).Max(MathF.Abs) == MathF.Abs(w[i])))];
        for (int i = 0; i < n; i++) v[i] = AdaRound.Initial(w[i] / scale[i] - floor[i]);
        double rounded = Error([.. start.Integers.ToArray().Select(code => (double)code)]), count = free.Count(one => one);
        int warm = (int)(0.2 * options.Iterations);
        for (int t = 0; t < options.Iterations; t++)
        {
            double progress = (t - warm) / (double)(options.Iterations - warm);
            double[] h = [.. v.Select(AdaRound.Height)], d = Errors([.. h.Select((height, i) => Code(i, height))]), slope = Slope(d);
            for (int i = 0; i < n; i++)
            {
                double gradient = 2 * scale[i] * slope[i] / rounded;
                if (progress >= 0)
                {
                    double beta = AdaRound.Beta(progress), side = 2 * h[i] - 1;
                    gradient -= options.Lambda * Math.Pow(1e4, progress) / count * 2 * beta * Math.Pow(Math.Abs(side), beta - 1) * Math.Sign(side);
                }
                double sigmoid = 1 / (1 + Math.Exp(-v[i]));
                gradient *= free[i] && h[i] is > 0 and < 1 ? 1.2 * sigmoid * (1 - sigmoid) : 0;
                gradient *= count; // Only Adam's epsilon sees it.
                m[i] = 0.9 * m[i] + 0.1 * gradient;
                u[i] = 0.999 * u[i] + 0.001 * gradient * gradient;
                v[i] -= options.Rate * m[i] / (1 - Math.Pow(0.9, t + 1)) / (Math.Sqrt(u[i] / (1 - Math.Pow(0.999, t + 1))) + 1e-8);
            }
        }
        return [.. v.Select((value, i) => (sbyte)Code(i, value >= 0 ? 1 : 0))];

        double Code(int i, double height) => free[i] ? floor[i] + height : start.Integers[i];
        double[] Errors(double[] codes) => [.. codes.Select((code, i) => code * scale[i] - w[i])];
        double[] Slope(double[] d) => [.. d.Select((_, i) => Enumerable.Range(0, Columns).Sum(k =>
            d[i / Columns * Columns + k] * gram.Values[k * Columns + i % Columns]))];
        double Error(double[] codes)
        {
            double[] d = Errors(codes);
            return Slope(d).Zip(d).Sum(pair => pair.First * pair.Second);
        }
    }
}
