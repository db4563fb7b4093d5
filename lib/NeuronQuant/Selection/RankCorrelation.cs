using NeuronQuant.Display;
using Plotly.NET;

namespace NeuronQuant.Selection;

/// <summary>Spearman's rank correlation: do two scores put modules in the same order? 1 for the same order, -1 for the reverse, 0 for none.</summary>
/// <remarks>The correlation of the ranks; equal values share the mean of their ranks. What matters for a selection is the order alone.</remarks>
public static class RankCorrelation
{
    /// <summary>The correlation of two lists of equal length; NaN when one of them is constant.</summary>
    /// <exception cref="ArgumentException">the lengths differ or are below two</exception>
    public static double Spearman(IReadOnlyList<double> a, IReadOnlyList<double> b)
    {
        ArgumentNullException.ThrowIfNull(a);
        ArgumentNullException.ThrowIfNull(b);
        if (a.Count != b.Count || a.Count < 2)
            throw new ArgumentException($"{a.Count} and {b.Count} values cannot be correlated; give two lists of one length.", nameof(b));
        double[] x = Ranks(a), y = Ranks(b);
        double center = (a.Count - 1) / 2.0, xy = 0, xx = 0, yy = 0;
        for (int i = 0; i < x.Length; i++)
        {
            double u = x[i] - center, v = y[i] - center;
            (xy, xx, yy) = (xy + u * v, xx + u * u, yy + v * v);
        }
        return xy / Math.Sqrt(xx * yy);
    }

    /// <summary>The correlation of two scores over the modules that both have.</summary>
    public static double Spearman(ModuleScores a, ModuleScores b)
    {
        ArgumentNullException.ThrowIfNull(a);
        ArgumentNullException.ThrowIfNull(b);
        var modules = a.Values.Keys.Where(b.Values.ContainsKey).ToArray();
        return Spearman([.. modules.Select(module => a[module])], [.. modules.Select(module => b[module])]);
    }

    /// <summary>All scores against all, as a heat map with the numbers in it.</summary>
    public static GenericChart ToHeatMap(params ModuleScores[] scores)
    {
        var values = new double[scores.Length, scores.Length];
        for (int i = 0; i < scores.Length; i++)
            for (int j = 0; j < scores.Length; j++) values[i, j] = Spearman(scores[i], scores[j]);
        string[] names = [.. scores.Select(score => score.Name)];
        return Charts.HeatMap(values, names, names, colour: "Spearman's rho", showValues: true).Titled("Rank correlation of scores");
    }

    private static double[] Ranks(IReadOnlyList<double> values)
    {
        int[] order = [.. Enumerable.Range(0, values.Count).OrderBy(i => values[i])];
        var ranks = new double[values.Count];
        for (int first = 0; first < order.Length;)
        {
            int last = first;
            while (last + 1 < order.Length && values[order[last + 1]] == values[order[first]]) last++;
            for (int i = first; i <= last; i++) ranks[order[i]] = (first + last) / 2.0;
            first = last + 1;
        }
        return ranks;
    }
}
