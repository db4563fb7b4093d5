using System.Numerics;
using NeuronQuant.Evaluation;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

public class StatisticsTests
{
    // R. G. Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3; four decimals are printed.
    [Theory]
    [InlineData(81, 263, 0.2553, 0.3662)]
    [InlineData(15, 148, 0.0624, 0.1605)]
    [InlineData(0, 20, 0.0, 0.1611)]
    [InlineData(1, 29, 0.0061, 0.1718)]
    public void WilsonAsPublished(int right, int total, double low, double high)
    {
        var interval = Statistics.Wilson(right, total);
        Assert.Equal(low, interval.Low, 0.00005);
        Assert.Equal(high, interval.High, 0.00005);
        var mirrored = Statistics.Wilson(total - right, total);
        Assert.Equal(1 - low, mirrored.High, 0.00005);
        Assert.Equal(1 - high, mirrored.Low, 0.00005);
    }

    [Fact]
    public void WilsonOfNothingIsEverything() => Assert.Equal((0.0, 1.0), Statistics.Wilson(0, 0));

    [Theory]
    [InlineData(0, 0, 1.0)]
    [InlineData(0, 5, 0.0625)] // 2 / 2^5
    [InlineData(1, 5, 0.21875)] // 2 (1 + 6) / 2^6
    [InlineData(5, 1, 0.21875)]
    [InlineData(3, 3, 1.0)]
    [InlineData(2, 10, 0.03857421875)] // 2 (1 + 12 + 66) / 2^12
    public void McNemarInClosedForm(int first, int second, double expected) => Assert.Equal(expected, Statistics.McNemar(first, second), 1e-12);

    // R's p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm") is 0.04, 0.06, 0.06, 0.06; the others follow by hand.
    [Theory]
    [InlineData(new[] { 0.01, 0.02, 0.03, 0.04 }, new[] { 0.04, 0.06, 0.06, 0.06 })]
    [InlineData(new[] { 0.5, 0.001, 0.5 }, new[] { 1, 0.003, 1 })]
    [InlineData(new double[0], new double[0])]
    public void HolmRaisesEachByItsRank(double[] values, double[] expected) =>
        Assert.All(Statistics.Holm(values).Zip(expected), pair => Assert.Equal(pair.Second, pair.First, 1e-12));

    [Fact]
    public void McNemarOfManyAgreesWithWholeNumbers()
    {
        // 2 sum C(2000, k) / 2^2000, in whole numbers to the last division.
        BigInteger sum = 0, binomial = 1;
        for (int k = 0; k <= 940; k++)
        {
            sum += binomial;
            binomial = binomial * (2000 - k) / (k + 1);
        }
        double expected = (double)(2 * sum * BigInteger.Pow(10, 20) / BigInteger.Pow(2, 2000)) / 1e20;
        Assert.Equal(expected, Statistics.McNemar(940, 1060), expected * 1e-9);
    }

    [Theory]
    [InlineData(0.24, 0.19, 100, 0.38946)] // math.erfc of the pooled z, Python
    [InlineData(0.24, 0.19, 1319, 0.00177)]
    [InlineData(0.21, 0.19, 1319, 0.19913)]
    [InlineData(0.23, 0.22, 1319, 0.53856)]
    [InlineData(0.5, 0.5, 50, 1)]
    public void Two_shares_from_different_questions(double first, double second, int total, double expected) =>
        Assert.Equal(expected, Statistics.TwoShares(first, second, total), 3e-4);
}
