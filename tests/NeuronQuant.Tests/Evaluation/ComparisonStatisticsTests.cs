using NeuronQuant.Evaluation;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>Holm's correction and the number of questions that a difference needs.</summary>
public class ComparisonStatisticsTests
{
    [Fact]
    public void Holm_is_that_of_R()
    {
        // p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") gives 0.03 0.06 0.06 0.02.
        Assert.Equal([0.03, 0.06, 0.06, 0.02], Statistics.Holm([0.01, 0.04, 0.03, 0.005]), (a, b) => Math.Abs(a - b) < 1e-12);
        Assert.Equal([1.0, 1], Statistics.Holm([0.6, 0.9]));
        Assert.Empty(Statistics.Holm([]));
    }

    [Fact]
    public void Questions_to_tell_apart_find_the_difference_four_times_in_five()
    {
        long needed = Statistics.QuestionsToTellApart(60, 30, 1000)!.Value; // d = 0.09, e = 0.03
        Assert.Equal(783, needed);
        Assert.Null(Statistics.QuestionsToTellApart(5, 5, 100));
        var random = new Random(1);
        int found = 0;
        for (int trial = 0; trial < 2000; trial++)
        {
            int won = 0, lost = 0;
            for (long i = 0; i < needed; i++)
            {
                double u = random.NextDouble();
                if (u < 0.06) won++;
                else if (u < 0.09) lost++;
            }
            if (Statistics.McNemar(won, lost) < 0.05) found++;
        }
        Assert.InRange(found / 2000.0, 0.74, 0.86); // The exact test is a little more cautious than the formula.
    }
}
