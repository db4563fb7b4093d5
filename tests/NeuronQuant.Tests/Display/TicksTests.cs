using NeuronQuant.Display;
using Xunit;

namespace NeuronQuant.Tests.Display;

/// <summary>Axis marks are round numbers, and their labels can be read at any size.</summary>
public class TicksTests
{
    [Theory]
    [InlineData(0, 0.43, "0.0 0.1 0.2 0.3 0.4 0.5")]
    [InlineData(0, 31, "0 10 20 30 40")]
    [InlineData(-1.25, 0.3, "-1.5 -1.0 -0.5 0.0 0.5")]
    [InlineData(0, 45000, "0 10,000 20,000 30,000 40,000 50,000")]
    [InlineData(0, 4.1e9, "0 1×10⁹ 2×10⁹ 3×10⁹ 4×10⁹ 5×10⁹")]
    [InlineData(0, 3e-7, "0 1×10⁻⁷ 2×10⁻⁷ 3×10⁻⁷")]
    [InlineData(0, 0.3, "0.0 0.1 0.2 0.3")]
    public void LinearLabels(double low, double high, string expected) => Assert.Equal(expected, string.Join(' ', Ticks.Linear(low, high).Labels));

    [Theory]
    [InlineData(0.5, 6000, "1 10 100 1000")]
    [InlineData(1e-6, 1e-2, "10⁻⁶ 10⁻⁵ 10⁻⁴ 10⁻³ 10⁻²")]
    [InlineData(3, 60, "5 10 20 50")]
    public void LogarithmicLabels(double low, double high, string expected) =>
        Assert.Equal(expected, string.Join(' ', Ticks.Logarithmic(low, high).Labels));

    [Fact]
    public void StepsAreOneTwoOrFiveAndCoverTheRange()
    {
        var random = new Random(11);
        for (var i = 0; i < 200; i++)
        {
            var low = (random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-12, 12));
            var high = low + (random.NextDouble() * Math.Pow(10, random.Next(-6, 6)) * Math.Max(Math.Abs(low), 1e-12)) + (Math.Abs(low) * 1e-3);
            var ticks = Ticks.Linear(low, high);
            var slack = 1e-6 * (high - low);
            Assert.True(ticks.Minimum <= low + slack && ticks.Maximum >= high - slack,
                $"{ticks.Minimum}..{ticks.Maximum} does not cover {low}..{high}");
            Assert.InRange(ticks.Values.Length, 2, 12);
            Assert.Equal(ticks.Labels.Length, ticks.Labels.Distinct().Count());
            var step = ticks.Values[1] - ticks.Values[0];
            var leading = step / Math.Pow(10, Math.Floor(Math.Log10(step) + 1e-6));
            Assert.Contains(Math.Round(leading, 3), new[] { 1.0, 2.0, 5.0 });
        }
    }

    [Theory]
    [InlineData(0, "0")]
    [InlineData(-0.0, "0")]
    [InlineData(0.123456, "0.1235")]
    [InlineData(12.3456, "12.35")]
    [InlineData(12345.6, "12346")]
    [InlineData(1.23456e-5, "1.235e-5")]
    [InlineData(-6.02214e23, "-6.022e23")]
    [InlineData(double.NaN, "NaN")]
    [InlineData(double.NegativeInfinity, "-infinity")]
    public void ShortNumbers(double value, string expected) => Assert.Equal(expected, Numbers.Short(value));
}
