using NeuronQuant.Formats;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Quantization;

public class FakeQuantizationTests
{
    [Fact]
    public void Rule_R1_is_exact_for_every_bf16_maximum_and_every_code()
    {
        // A row for every positive normal bf16 M, holding M * q / 127 for q = 0..127: after the bf16 file and NxDI's rounding, nothing moves.
        const int columns = 128, first = 0x0080, count = 0x7F80 - 0x0080;
        var values = new float[count * columns];
        for (int m = 0; m < count; m++)
            for (int q = 0; q < columns; q++)
                values[m * columns + q] = (float)(BFloat16.Decode((ushort)(first + m)) * (q / 127.0) * (q % 2 == 0 ? 1 : -1));
        var result = SecondRounding.Replay(FakeQuantization.Exact(WeightMatrix.Of("w", values, count, columns), Grid.Nxd()));
        Assert.Equal(0, result.Changed);
    }

    [Theory]
    [InlineData("nxd")]
    [InlineData("f8e4m3")]
    [InlineData("f8e5m2")]
    public void Rule_R1_keeps_every_code_of_float32_and_of_bf16_weights(string grid)
    {
        Assert.Equal(0, SecondRounding.Replay(FakeQuantization.Exact(TestWeights.Matrix(200, 513, seed: 2), Grid.Parse(grid))).Changed);
        Assert.Equal(0, SecondRounding.Replay(FakeQuantization.Exact(TestWeights.MatrixBf16(200, 513, seed: 3), Grid.Parse(grid))).Changed);
    }

    [Fact]
    public void Rule_R1_on_bf16_weights_is_round_to_nearest()
    {
        // The maximum of bf16 weights is a bf16 number already, so R1 changes nothing about plain rounding.
        var weight = TestWeights.MatrixBf16(64, 300, seed: 4);
        Assert.Equal(RoundToNearest.Quantize(weight, Grid.Nxd()).Codes, FakeQuantization.Exact(weight, Grid.Nxd()).Codes);
    }

    [Fact]
    public void The_signed_128_grid_loses_its_integers()
    {
        // Normal rows of 4096: 6.6 % of the codes change, in every row (the figure of an independent simulation); 0.5 points for sampling.
        var result = SecondRounding.Replay(RoundToNearest.Quantize(TestWeights.MatrixBf16(200, 4096, seed: 5), Grid.AutoRound()));
        Assert.InRange(100.0 * result.Changed / result.Weights, 6.1, 7.1);
        Assert.Equal(200, result.ChangedRows);
        Assert.Throws<QuantizationException>(() => FakeQuantization.Exact(TestWeights.Matrix(1, 8, 1), Grid.AutoRound()));
    }

    [Fact]
    public void The_half_step_grid_keeps_its_integers_only_in_rows_without_minus_128()
    {
        // 127 s is the file's maximum in those rows, 0.4 % off NxDI's grid; a -128 stretches the grid by 128/127 and more.
        var intended = RoundToNearest.Quantize(TestWeights.MatrixBf16(200, 4096, seed: 6), Grid.Half());
        var (few, many) = (new List<double>(), new List<double>());
        for (int row = 0; row < 200; row++)
        {
            var one = intended with { Rows = 1, Codes = intended.Codes[(row * 4096)..((row + 1) * 4096)], Scales = [intended.Scales[row]] };
            (one.Integers.Contains((sbyte)-128) ? many : few).Add(100.0 * SecondRounding.Replay(one).Changed / 4096);
        }
        Assert.InRange(few.Average(), 0.01, 0.5);
        Assert.InRange(many.Average(), 5, 25);
    }

    [Fact]
    public void Weights_below_NxDs_floor_survive_too()
    {
        float[] tiny = [.. TestWeights.Normal(1000, seed: 7).Select(w => w * 1e-5f)];
        Assert.Equal(0, SecondRounding.Replay(FakeQuantization.Exact(WeightMatrix.Of("w", tiny, 10, 100), Grid.Nxd())).Changed);
    }

    [Fact]
    public void Different_shapes_cannot_be_compared() => Assert.Throws<QuantizationException>(() => SecondRounding.Compare(
        RoundToNearest.Quantize(TestWeights.Matrix(2, 4, 1), Grid.Nxd()), RoundToNearest.Quantize(TestWeights.Matrix(4, 2, 1), Grid.Nxd())));
}
