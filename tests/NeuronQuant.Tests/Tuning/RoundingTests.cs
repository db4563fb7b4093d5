using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;
using Xunit;
using static TorchSharp.torch;

namespace NeuronQuant.Tests.Tuning;

/// <summary>Learned rounding: its gradients against differences of the relaxed function in float64, and one pass over each row against autograd.</summary>
public class RoundingTests
{
    public static TheoryData<string, int, int> Grids() => new()
    {
        { "nxd", 8, 67 }, { "nxd", 4, 16 }, { "nxd", 2, 5 }, { "autoround", 8, 67 }, { "autoround", 4, 100 }, { "autoround", 3, 1 },
        { "nxd", 4, 40_000 }, { "autoround", 8, 40_000 }, // Some rows at a time, by several threads.
    };

    [Theory]
    [MemberData(nameof(Grids))]
    public void Every_path_equals_autograd_through_the_visible_rounding_of_the_whole_weight(string name, int bits, int columns)
    {
        foreach (var path in Enum.GetValues<StepBy>()) Equals_the_whole(name, bits, columns, path);
    }

    private static void Equals_the_whole(string name, int bits, int columns, StepBy path)
    {
        const int Rows = 9;
        const double Rate = 0.01;
        var grid = Grid.Parse(name, bits);
        using var learned = Learned(grid, Rows, columns, path);
        Tensor Leaf(Tensor values)
        {
            var leaf = values.clone();
            leaf.requires_grad = true;
            return leaf;
        }
        Tensor[] leaves = [Leaf(learned.Offsets), Leaf(learned.Alpha), Leaf(learned.Beta)];
        var gradient = tensor(TestWeights.Normal(Rows * columns, 5, 1)).view(Rows, columns);
        var (expected, kept) = Torch.WithGradients(() =>
        {
            var (codes, scales) = LearnedRounding.Round(learned.Weight, leaves[0], leaves[1], leaves[2], grid);
            var quantized = codes * scales;
            (quantized * gradient).sum().backward();
            return (quantized.detach(), codes.detach());
        });
        var (written, stepped) = (empty(Rows, columns), empty(Rows, columns));
        Torch.Run(() =>
        {
            learned.Write(written);
            learned.Step(gradient, Rate, keep: true, stepped);
            foreach (var leaf in leaves) LearnedRounding.SignedStep(leaf, leaf.grad!, Rate);
            foreach (var factor in leaves[1..]) factor.clamp_(0, 1);
        });
        Assert.Equal(expected.ToFloats(), written.ToFloats());
        Assert.Equal(kept.ToFloats(), learned.Best.Codes.ToFloats());
        Assert.Equal(expected.ToFloats(), Torch.Run(() => learned.Best.Codes * learned.Best.Scales).ToFloats());
        Assert.Equal(leaves[0].ToFloats(), learned.Offsets.ToFloats());
        Assert.Equal(leaves[1].ToFloats(), learned.Alpha.ToFloats());
        Assert.Equal(leaves[2].ToFloats(), learned.Beta.ToFloats());
        Assert.Equal(Torch.Run(() =>
        {
            var (codes, scales) = LearnedRounding.Round(learned.Weight, leaves[0], leaves[1], leaves[2], grid);
            return codes * scales;
        }).ToFloats(), stepped.ToFloats());
    }

    [Fact]
    public void A_gradient_that_is_no_number_moves_nothing_on_any_path()
    {
        const int Columns = 35; // Two vectors and a rest.
        float[] slopes = TestWeights.Normal(3 * Columns, 5, 1);
        (slopes[4], slopes[Columns + 33]) = (float.NaN, float.NaN);
        using var gradient = tensor(slopes).view(3, Columns);
        var (offsets, factors) = (new List<float[]>(), new List<float[]>());
        foreach (var path in Enum.GetValues<StepBy>())
        {
            using var learned = Learned(Grid.Nxd(4), 3, Columns, path);
            var (v, alpha, beta) = (learned.Offsets.ToFloats(), learned.Alpha.ToFloats(), learned.Beta.ToFloats());
            Torch.Run(() => learned.Step(gradient, 0.01, keep: false, zeros(3, Columns)));
            offsets.Add(learned.Offsets.ToFloats());
            factors.Add([.. learned.Alpha.ToFloats(), .. learned.Beta.ToFloats()]);
            Assert.Equal((v[4], v[Columns + 33]), (offsets[^1][4], offsets[^1][Columns + 33]));
            Assert.Equal([alpha[0], alpha[1], beta[0], beta[1]], new[] { factors[^1][0], factors[^1][1], factors[^1][3], factors[^1][4] });
        }
        Assert.All(offsets, values => Assert.Equal(offsets[0], values));
        Assert.All(factors, values => Assert.Equal(factors[0], values));
    }

    [Fact]
    public void A_channel_of_zeros_stays_zero_and_is_not_pinned()
    {
        using var learned = new LearnedWeight("w", zeros(2, 10), Grid.Nxd());
        Torch.Run(() => learned.Step(zeros_like(learned.Weight), 0, keep: true, zeros_like(learned.Weight)));
        Assert.All(learned.Best.Codes.ToFloats(), code => Assert.Equal(0, code));
        Assert.All(learned.Best.Scales.ToFloats(), scale => Assert.Equal(Grid.Int8Floor, scale));
    }

    [Fact]
    public void Untouched_codes_are_those_of_rule_R1()
    {
        foreach (var weight in new[] { TestWeights.Matrix(9, 70, 1), TestWeights.MatrixBf16(9, 70, 2) })
        {
            using var learned = new LearnedWeight("w", tensor(weight.ToArray()).view(9, 70), Grid.Nxd());
            Torch.Run(() => learned.Step(zeros_like(learned.Weight), 0, keep: true, zeros_like(learned.Weight)));
            var expected = FakeQuantization.Exact(weight, Grid.Nxd());
            Assert.Equal(expected.Scales, learned.Best.Scales.ToFloats());
            Assert.Equal(expected.Integers.ToArray().Select(code => (float)code), learned.Best.Codes.ToFloats());
        }
    }

    [Theory]
    [InlineData("nxd", 4)]
    [InlineData("nxd", 8)]
    [InlineData("autoround", 4)]
    [InlineData("autoround", 8)]
    public void Gradients_equal_central_differences_of_the_relaxed_function_in_float64(string name, int bits)
    {
        const int Rows = 9, Columns = 20;
        var grid = Grid.Parse(name, bits);
        using var learned = Learned(grid, Rows, Columns);
        float[] weight = learned.Weight.ToFloats(), g = TestWeights.Normal(Rows * Columns, 5, 1);
        Tensor[] leaves = [learned.Offsets.clone(), learned.Alpha.clone(), learned.Beta.clone()];
        foreach (var leaf in leaves) leaf.requires_grad = true;
        var (codes, scales) = Torch.WithGradients(() =>
        {
            var (q, s) = LearnedRounding.Round(learned.Weight, leaves[0], leaves[1], leaves[2], grid);
            (q * s * tensor(g).view(Rows, Columns)).sum().backward();
            return (q.detach(), s.detach());
        });
        var (q0, s0, point) = (codes.ToFloats(), scales.ToFloats(), leaves.Select(leaf => leaf.ToFloats()).ToArray());
        for (int which = 0; which < 3; which++)
        {
            float[] gradient = leaves[which].grad!.ToFloats();
            for (int i = 0; i < gradient.Length; i += which == 0 ? 7 : 1)
            {
                int row = which == 0 ? i / Columns : i;
                double Loss(double step) => Relaxed(row, Columns, weight, g, q0, s0[row], point, grid, (which, i, step));
                Assert.Equal((Loss(1e-5) - Loss(-1e-5)) / 2e-5, gradient[i], 1e-4 * Math.Max(1, Math.Abs(gradient[i])));
            }
        }
    }

    // What "straight through" means: what rounding added stays as it is at the point, code = w/s + V + r and scale = (side + b) / divisor.
    private static double Relaxed(int row, int columns, float[] weight, float[] g, float[] codes, double scale, float[][] point, Grid grid, (int Which, int At, double Step) change)
    {
        double Moved(int which, int at) => point[which][at] + (change.Which == which && change.At == at ? change.Step : 0);
        var w = weight.AsSpan(row * columns, columns).ToArray();
        double smallest = Math.Min(0, w.Min()), largest = Math.Max(0, w.Max()), below = -smallest * point[1][row], above = largest * point[2][row];
        bool isBelow = (float)below > (float)above;
        double side = isBelow ? -smallest * (Moved(1, row) - point[1][row]) : largest * (Moved(2, row) - point[2][row]);
        double moved = scale + side / grid.Divisor * (grid.Signed && !isBelow ? -1 : 1), sum = 0;
        int pinned = grid.Signed ? -1 : Array.IndexOf(w, isBelow ? w.Min() : w.Max());
        for (int i = 0; i < columns; i++)
        {
            int at = row * columns + i;
            double rounded = Math.Round((grid.Signed ? w[i] / (float)scale : w[i] * (1 / (float)scale)) + point[0][at]);
            double code = codes[at] + (i != pinned && rounded == codes[at] ? w[i] / moved - w[i] / scale + Moved(0, at) - point[0][at] : 0);
            sum += g[at] * moved * code;
        }
        return sum;
    }

    // One pass over each row; autograd, some rows at a time, as on a device; autograd through the whole weight, as for rules of the reader's own.
    private enum StepBy { Rows, Parts, Whole }

    private static LearnedWeight Learned(Grid grid, int rows, int columns, StepBy path = StepBy.Rows)
    {
        var rules = path == StepBy.Whole ? new TuningRules(Rounding: LearnedRounding.Round) : null;
        var learned = new LearnedWeight("w", tensor(TestWeights.Normal(rows * columns, 3)).view(rows, columns), grid, rules, path == StepBy.Parts);
        learned.Offsets.copy_(tensor(TestWeights.Normal(rows * columns, 4, 0.4)).view(rows, columns));
        learned.Alpha.copy_(tensor([.. Enumerable.Range(0, rows).Select(row => 0.8f + row % 3 * 0.07f)]).view(rows, 1));
        learned.Beta.copy_(tensor([.. Enumerable.Range(0, rows).Select(row => 0.97f - row % 4 * 0.11f)]).view(rows, 1));
        return learned;
    }
}
