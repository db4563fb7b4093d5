using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Models;
using NeuronQuant.Tuning;
using Xunit;

namespace NeuronQuant.Tests.Tuning;

/// <summary>Learned rounding: the fast kernels against their twin, and the gradients against differences of a whole block's loss in float64.</summary>
public class RoundingTests
{
    public static TheoryData<string, int, int> Grids() => new()
    {
        { "nxd", 8, 67 }, { "nxd", 4, 16 }, { "nxd", 2, 5 }, { "autoround", 8, 67 }, { "autoround", 4, 100 }, { "autoround", 3, 1 },
    };

    [Theory]
    [MemberData(nameof(Grids))]
    public void The_kernels_equal_their_twin(string name, int bits, int columns)
    {
        var grid = Grid.Parse(name, bits);
        float[] w = TestWeights.Normal(columns, 3), v = TestWeights.Normal(columns, 4, 0.4), g = TestWeights.Normal(columns, 5, 1);
        foreach (var (alpha, beta) in new[] { (1f, 1f), (0.7f, 0.95f), (0.9f, 0.55f) })
        {
            var channel = ChannelScale.Of(grid, MathF.Min(0, w.Min()), MathF.Max(0, w.Max()), alpha, beta);
            int pinned = channel.PinnedCode == 0 ? -1 : Array.IndexOf(w, channel.PinnedCode < 0 ? w.Min() : w.Max());
            float[] expected = new float[columns], actual = new float[columns], dv = new float[columns], moved = [.. v], gradient = [.. g];
            RoundingReference.Forward(w, v, expected, channel, pinned, grid);
            RoundingKernels.Forward(w, v, actual, channel, pinned, grid);
            Assert.Equal(expected, actual);
            byte[] codes = new byte[columns];
            RoundingKernels.Codes(w, v, codes, channel, pinned, grid);
            Assert.Equal(expected, codes.Select(code => channel.Scale * (sbyte)code));
            float ds = RoundingReference.Gradients(w, v, g, dv, channel, pinned, grid);
            Assert.Equal(ds, RoundingKernels.Step(w, moved, gradient, 0.01f, channel, pinned, grid), 1e-3); // Sums of units in float32.
            for (int i = 0; i < columns; i++) Assert.Equal(v[i] - 0.01f * MathF.Sign(dv[i]), moved[i]);
            Assert.All(gradient, value => Assert.Equal(0, value));
        }
    }

    [Fact]
    public void A_channel_of_zeros_stays_zero_and_is_not_pinned()
    {
        var learned = new LearnedWeight("w", new float[20], 2, 10, Grid.Nxd());
        learned.KeepBest();
        Assert.All(learned.Best.Codes, code => Assert.Equal(0, code));
        Assert.All(learned.Best.Scales, scale => Assert.Equal(Grid.Int8Floor, scale));
    }

    [Fact]
    public void Untouched_codes_are_those_of_rule_R1()
    {
        foreach (var weight in new[] { TestWeights.Matrix(9, 70, 1), TestWeights.MatrixBf16(9, 70, 2) })
        {
            var learned = new LearnedWeight("w", weight.ToArray(), 9, 70, Grid.Nxd());
            learned.KeepBest();
            var expected = FakeQuantization.Exact(weight, Grid.Nxd());
            Assert.Equal(expected.Scales, learned.Best.Scales);
            Assert.Equal(expected.Codes, learned.Best.Codes);
        }
    }

    [Theory]
    [InlineData("nxd", 4)]
    [InlineData("nxd", 8)]
    [InlineData("autoround", 4)]
    [InlineData("autoround", 8)]
    public void Gradients_equal_central_differences_of_the_blocks_loss(string name, int bits)
    {
        var config = TestModels.Config() with { LayerCount = 1 };
        var (model, grid) = (TestModels.Random(config), Grid.Parse(name, bits));
        var original = TestModels.Random(config).Blocks[0];
        int[] tokens = TestModels.Tokens(7, 3);
        float[] target = TestWeights.Normal(7 * 20, 8, 1);
        var linear = model.Blocks[0].Up; // Its gradient goes through the product, down_proj and the loss.
        float[] w = original.Up.Weight.Values, v = TestWeights.Normal(w.Length, 9, 0.3);
        var learned = new LearnedWeight("w", w, linear.Out, linear.In, grid);
        v.CopyTo(learned.Offsets, 0);
        for (int row = 0; row < linear.Out; row++) (learned.Factors.Alpha[row], learned.Factors.Beta[row]) = (0.8f + row % 3 * 0.07f, 0.97f - row % 4 * 0.05f);
        learned.Quantize(linear.Weight.Values);
        float[] g = BlockGradient(model, linear, tokens, target);
        float[] dv = new float[w.Length];
        foreach (int row in new[] { 0, 1, 5, 12, 26 })
        {
            var (channel, pinned) = learned.Channel(row);
            float ds = RoundingReference.Gradients(w.AsSpan(row * 20, 20), v.AsSpan(row * 20, 20), g.AsSpan(row * 20, 20), dv.AsSpan(row * 20, 20), channel, pinned, grid);
            var relaxed = new Relaxed(model, tokens, target, linear, learned, w, v, row, grid);
            for (int i = 0; i < 20; i += 3) Assert.Equal(relaxed.SlopeOfOffset(i), dv[row * 20 + i], 2e-6); // float32 gradients of about 1e-2.
            Assert.Equal(relaxed.SlopeOfFactor(alpha: true), ds * channel.AlphaSlope, 2e-5);
            Assert.Equal(relaxed.SlopeOfFactor(alpha: false), ds * channel.BetaSlope, 2e-5);
        }
    }

    private static float[] BlockGradient(LlamaModel model, Linear linear, int[] tokens, float[] target)
    {
        float[] stream = new float[tokens.Length * 20];
        Embedding.Forward(tokens, model.Embedding.Values, stream, 20);
        var kept = new BlockActivations();
        linear.Weight.ZeroGradient();
        model.Blocks[0].Forward(stream, stream, 1, tokens.Length, kept);
        BlockLoss.ForwardBackward(stream, new[] { target }, new[] { Counted(tokens.Length) }, tokens.Length, 20);
        model.Blocks[0].Backward(stream, kept, new BlockGradients());
        return linear.Weight.Gradient!;
    }

    private static bool[] Counted(int length) => [.. Enumerable.Range(0, length).Select(position => position != 2 && position != length - 1)];

    /// <summary>
    /// The loss with what rounding added held fixed, as "straight through" means it: code = w/s + V + r, scale = (side + b) / divisor, with r
    /// and b from the point where the slope is taken. Everything in float64 on the reference model.
    /// </summary>
    private sealed class Relaxed(LlamaModel model, int[] tokens, float[] target, Linear linear, LearnedWeight learned, float[] w, float[] v, int row, Grid grid)
    {
        private readonly ReferenceModel _reference = new(model);

        public double SlopeOfOffset(int i) => Slope(1e-5, step => Loss((_, _) => 0, (j => j == i ? step : 0)));

        public double SlopeOfFactor(bool alpha) => Slope(1e-6, step => Loss((isAlpha, value) => isAlpha == alpha ? value * step : 0, _ => 0));

        private static double Slope(double step, Func<double, double> loss) => (loss(step) - loss(-step)) / (2 * step);

        private double Loss(Func<bool, double, double> more, Func<int, double> offset)
        {
            var weights = w.AsSpan(row * 20, 20).ToArray();
            double smallest = Math.Min(0, weights.Min()), largest = Math.Max(0, weights.Max());
            double below = -smallest * learned.Factors.Alpha[row], above = largest * learned.Factors.Beta[row];
            var (channel, pinned) = learned.Channel(row);
            double change = below > above ? more(true, -smallest) : more(false, largest);
            double scale = channel.Scale + change / grid.Divisor * (grid.Signed && below <= above ? -1 : 1);
            double[] values = _reference.Values[linear.Weight.Name];
            for (int i = 0; i < 20; i++)
            {
                double x = RoundingReference.Ratio(weights[i], channel.Scale, grid) + (double)v[row * 20 + i];
                double rounded = Math.Round((float)x), code = i == pinned ? channel.PinnedCode : Math.Clamp(rounded, grid.Minimum, grid.Maximum);
                bool inside = i != pinned && code == rounded;
                if (inside) code += weights[i] / scale - weights[i] / (double)channel.Scale + offset(i);
                values[row * 20 + i] = scale * code;
            }
            return BlockLossOf(_reference);
        }

        private double BlockLossOf(ReferenceModel reference)
        {
            double sum = 0;
            bool[] counted = Counted(tokens.Length);
            reference.Logits(tokens, (module, output) =>
            {
                if (module != "layers.0.mlp.down_proj") return;
                for (int i = 0; i < output.Length; i++)
                    if (counted[i / 20]) sum += (output[i] - target[i]) * (output[i] - target[i]);
            });
            return sum / (tokens.Length * 20);
        }
    }
}
