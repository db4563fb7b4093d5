using NeuronQuant.Methods;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Methods;

public class HqqTests
{
    [Fact]
    public void Zero_points_iterations_and_errors_are_those_of_the_reference_in_double_precision()
    {
        foreach (var golden in MethodsGolden.File.Cases)
        {
            var result = Hqq.Quantize(golden.Matrix, golden.On(Grid.Asymmetric(golden.Bits)));
            Assert.Equal(golden.Hqq.Iterations, result.Iterations);
            Assert.Equal(golden.Hqq.Zeros.Length, result.Weight.ZeroPoints.Length);
            foreach (var (zero, wanted) in result.Weight.ZeroPoints.Zip(golden.Hqq.Zeros)) Assert.Equal(wanted, zero, 1e-4); // codes; float32 here
            Assert.Equal(1, result.FirstError / golden.Hqq.FirstError, 1e-6);
            Assert.Equal(1, result.Error / golden.Hqq.Error, 1e-5);
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void It_lowers_the_mean_error_and_tells_that_of_its_codes(int bits)
    {
        var weight = TestWeights.Matrix(9, 200, seed: bits);
        var grid = Grid.Asymmetric(bits).InGroups(64);
        var result = Hqq.Quantize(weight, grid);
        Assert.True(result.Error < result.FirstError && result.Iterations > 0);
        Assert.Equal(1, Mean(weight, result.Weight) / result.Error, 1e-5);
        Assert.Equal(1, Mean(weight, RoundToNearest.Quantize(weight, grid)) / result.FirstError, 1e-5);
        Assert.All(result.Weight.Integers.ToArray(), code => Assert.InRange(code, grid.Minimum, grid.Maximum));
        Assert.Contains(result.Weight.ZeroPoints, zero => zero != MathF.Round(zero));
    }

    [Fact]
    public void Rounded_zero_points_are_integers()
    {
        var result = Hqq.Quantize(TestWeights.Matrix(4, 128, seed: 1), Grid.Asymmetric(4).InGroups(64), HqqOptions.Default with { RoundZeroPoints = true });
        Assert.All(result.Weight.ZeroPoints, zero => Assert.Equal(MathF.Round(zero), zero));
        Assert.Equal(1, Mean(TestWeights.Matrix(4, 128, seed: 1), result.Weight) / result.Error, 1e-5);
    }

    [Fact]
    public void Without_iterations_it_is_rounding_to_nearest()
    {
        var weight = TestWeights.Matrix(4, 130, seed: 2);
        var grid = Grid.Asymmetric(4).InGroups(32);
        var result = Hqq.Quantize(weight, grid, HqqOptions.Default with { Iterations = 0 });
        var rounded = RoundToNearest.Quantize(weight, grid);
        Assert.Equal(rounded.Codes, result.Weight.Codes);
        Assert.Equal(rounded.Scales, result.Weight.Scales);
        Assert.Equal(rounded.ZeroPoints, result.Weight.ZeroPoints);
    }

    [Fact]
    public void A_grid_without_zero_points_has_nothing_to_learn_and_a_group_of_zeros_stays_zero()
    {
        var weight = TestWeights.Matrix(2, 8, seed: 1);
        Assert.Contains("Clipping", Assert.Throws<QuantizationException>(() => Hqq.Quantize(weight, Grid.Nxd(4))).Message);
        Assert.Throws<ArgumentException>(() => Hqq.Quantize(weight, Grid.Asymmetric(4), new HqqOptions(Power: 0)));
        Assert.Throws<QuantizationException>(() => Hqq.Quantize(WeightMatrix.Of("w", new[] { float.PositiveInfinity, 1 }, 1, 2), Grid.Asymmetric(4)));
        Assert.All(Hqq.Quantize(WeightMatrix.Of("w", new float[64], 2, 32), Grid.Asymmetric(4)).Weight.Dequantize(), value => Assert.Equal(0, value));
    }

    private static double Mean(WeightMatrix weight, QuantizedWeight quantized) =>
        weight.ToArray().Zip(quantized.Dequantize(), (w, restored) => (double)Math.Abs(w - restored)).Average();
}
