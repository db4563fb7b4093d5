using NeuronQuant.Formats;
using NeuronQuant.Methods;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Methods;

public class ClippingTests
{
    [Fact]
    public void Factors_and_errors_are_those_of_the_reference_in_double_precision()
    {
        foreach (var golden in MethodsGolden.File.Cases)
            foreach (var (grid, expected) in new[] { (Grid.Nxd(golden.Bits), golden.Clipping), (Grid.Asymmetric(golden.Bits), golden.AsymmetricClipping) })
            {
                var result = Clipping.Search(golden.Matrix, golden.On(grid));
                Assert.Equal(expected.Factors.Length, result.Factors.Length);
                foreach (var (factor, wanted) in result.Factors.Zip(expected.Factors)) Assert.Equal(wanted, factor, 1e-6);
                Assert.Equal(1, result.Error / expected.Error, 1e-5); // scales are float32 here
                Assert.Equal(1, result.RoundedError / expected.RoundedError, 1e-5);
            }
    }

    [Fact]
    public void The_worked_vector_is_clipped_to_half()
    {
        // 63 ones and an 8 on 3 bits: rounded, all ones become 0 and the error is 63; at p = 0.5 the scale is 4/3 and the error 32.37.
        float[] row = [.. Enumerable.Repeat(1f, 63), 8];
        var result = Clipping.Search(WeightMatrix.Of("w", row, 1, 64), Grid.Nxd(3), new ClippingOptions(Steps: 1, Smallest: 0.5));
        Assert.Equal((63.0, 0.5f), (result.RoundedError, result.Factors[0]));
        Assert.Equal(32.37, result.Error, 0.005);
        Assert.Equal(Enumerable.Repeat((sbyte)1, 63).Append((sbyte)3), result.Weight.Integers.ToArray());
        Assert.InRange(Clipping.Search(WeightMatrix.Of("w", row, 1, 64), Grid.Nxd(3)).Error, 0, result.Error);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(8)]
    public void It_never_loses_to_rounding_and_the_error_it_tells_is_that_of_its_codes(int bits)
    {
        var weight = TestWeights.Matrix(7, 301, seed: bits);
        foreach (var grid in new[] { Grid.Half(bits), Grid.AutoRound(bits), Grid.Asymmetric(bits).InGroups(64), new Grid("mine", bits, 1 << (bits - 1), -(1 << (bits - 1)), (1 << (bits - 1)) - 1) })
        {
            var result = Clipping.Search(weight, grid, new ClippingOptions(Norm: 2));
            Assert.InRange(result.Error, 0, result.RoundedError);
            Assert.Equal(1, QuantizationError.Between(weight, result.Weight).MeanSquared * weight.Count / result.Error, 1e-6);
            Assert.Equal(1, QuantizationError.OfRounding(weight, grid).MeanSquared * weight.Count / result.RoundedError, 1e-6);
        }
    }

    [Fact]
    public void Eight_bits_gain_little_and_four_gain_half()
    {
        var weight = TestWeights.Matrix(20, 5120, seed: 4);
        double eight = Ratio(Grid.Nxd()), four = Ratio(Grid.Nxd(4)), three = Ratio(Grid.Nxd(3));
        Assert.InRange(eight, 0.93, 1); // 0.97 for a normal row of 5120
        Assert.InRange(four, 0.45, 0.6); // 0.53
        Assert.InRange(three, 0.28, 0.4); // 0.34

        double Ratio(Grid grid) => Clipping.Search(weight, grid, new ClippingOptions(Norm: 2)) is var result ? result.Error / result.RoundedError : 0;
    }

    [Theory]
    [InlineData("nxd")]
    [InlineData("f8e4m3")]
    public void What_is_clipped_on_NxDIs_grid_comes_back_from_a_bf16_file_with_no_changed_code(string name)
    {
        foreach (var weight in new[] { TestWeights.Matrix(50, 700, seed: 5), TestWeights.MatrixBf16(50, 700, seed: 6), WeightMatrix.Of("w", new float[64], 2, 32) })
        {
            var result = Clipping.Search(weight, Grid.Parse(name), new ClippingOptions(Steps: 20, Smallest: 0.9, Norm: 1));
            Assert.Equal(0, SecondRounding.Replay(result.Weight).Changed);
            if (weight.Rows == 50) Assert.Contains(result.Factors, factor => factor < 1);
        }
        // Without the rule it would not: scales that are no bf16 extreme / 127.
        var plain = Clipping.Search(TestWeights.Matrix(50, 700, seed: 5), new Grid("mine", 8, 127, -127, 127), new ClippingOptions(Steps: 20, Smallest: 0.9, Norm: 1));
        Assert.True(SecondRounding.Replay(plain.Weight).Changed > 0);
    }

    [Fact]
    public void A_row_of_extreme_crest_is_left_alone_when_asked()
    {
        float[] values = TestWeights.Normal(2 * 5120, seed: 7);
        values[100] = 0.4f; // twenty deviations
        var weight = WeightMatrix.Of("w", values, 2, 5120);
        Assert.True(Clipping.Search(weight, Grid.Nxd(4)).Factors[0] < 0.9f);
        var kept = Clipping.Search(weight, Grid.Nxd(4), ClippingOptions.Default with { CrestLimit = 12 });
        Assert.Equal(1, kept.Factors[0]);
        Assert.True(kept.Factors[1] < 1);
        Assert.Equal(0.4f, kept.Weight.Dequantize()[100], 1e-6);
    }

    [Fact]
    public void Options_that_are_no_search_and_weights_that_are_no_numbers_are_refused()
    {
        var weight = TestWeights.Matrix(2, 8, seed: 1);
        foreach (var options in new[] { new ClippingOptions(Steps: 0), new ClippingOptions(Smallest: 1), new ClippingOptions(Smallest: 0), new ClippingOptions(Norm: 0) })
            Assert.Throws<ArgumentException>(() => Clipping.Search(weight, Grid.Nxd(4), options));
        Assert.Contains("row 1", Assert.Throws<QuantizationException>(() => Clipping.Search(WeightMatrix.Of("w", new[] { 1f, 2, 3, float.NaN }, 2, 2), Grid.Nxd(4))).Message);
        Assert.Contains("row 0", Assert.Throws<QuantizationException>(() => Clipping.Search(WeightMatrix.Of("w", new[] { float.MaxValue, 2 }, 1, 2), Grid.Nxd())).Message);
        Assert.Equal(Float8E4M3.MaxValue, Grid.F8E4M3.Divisor);
    }
}
