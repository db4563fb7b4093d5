namespace NeuronQuant.Evaluation;

/// <summary>What a count of right answers says, and what a difference between two models says.</summary>
/// <remarks>
/// <para>Wilson's interval (E. B. Wilson, 1927) for a share of k in n: centre (k + z^2/2) / (n + z^2), half width
/// z / (n + z^2) * sqrt(k (n - k) / n + z^2 / 4). Unlike the plain k/n +- z s it stays within 0 and 1 and holds for few questions.</para>
/// <para>McNemar's exact test: two models answer the same questions; those on which both are right or both wrong say nothing about which is
/// better. If neither is, each of the n others falls to either side like a coin: p = min(1, 2 P(X &lt;= min(b, c))), X binomial(n, 1/2).
/// Two-sided and exact, not the mid-p variant: p is on the cautious side when n is small.</para>
/// </remarks>
public static class Statistics
{
    /// <summary>The normal distribution's 97.5 % point: 95 % lie within it on both sides.</summary>
    private const double Z95 = 1.959963984540054;

    /// <summary>Wilson's 95 % interval of a share.</summary>
    /// <param name="right">successes</param>
    /// <param name="total">trials; with none the interval is all from 0 to 1</param>
    public static (double Low, double High) Wilson(int right, int total)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(right);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(right, total);
        if (total == 0) return (0, 1);
        double n = total, k = right, z2 = Z95 * Z95;
        double centre = (k + (z2 / 2)) / (n + z2);
        double half = Z95 / (n + z2) * Math.Sqrt((k * (n - k) / n) + (z2 / 4));
        // At k = 0 and k = n the two terms are equal, and rounding must not leave a trace of them.
        return (right == 0 ? 0 : centre - half, right == total ? 1 : centre + half);
    }

    /// <summary>The two-sided exact p-value of McNemar's test.</summary>
    /// <param name="onlyFirst">questions that only the first model answers rightly</param>
    /// <param name="onlySecond">questions that only the second does</param>
    public static double McNemar(int onlyFirst, int onlySecond)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(onlyFirst);
        ArgumentOutOfRangeException.ThrowIfNegative(onlySecond);
        int n = onlyFirst + onlySecond, least = Math.Min(onlyFirst, onlySecond);
        double logarithm = -n * Math.Log(2); // of P(X = 0); in logarithms since 2^-n underflows at n = 1075
        double tail = Math.Exp(logarithm);
        for (int k = 1; k <= least; k++)
        {
            logarithm += Math.Log((n - k + 1.0) / k);
            tail += Math.Exp(logarithm);
        }
        return Math.Min(1, 2 * tail);
    }

    /// <summary>
    /// p-values of tests that are read together, each raised by how many there are (S. Holm, 1979): the k-th smallest of m is multiplied by m - k + 1, and none is
    /// below a smaller one's. What is then under 0.05 is wrong, in all of them together, at most once in twenty times.
    /// </summary>
    /// <param name="values">p-values, 0 to 1, in any order</param>
    /// <returns>in the same order, at most 1</returns>
    public static double[] Holm(IReadOnlyList<double> values)
    {
        ArgumentNullException.ThrowIfNull(values);
        var raised = new double[values.Count];
        double largest = 0;
        foreach (var (rank, i) in Enumerable.Range(0, values.Count).OrderBy(i => values[i]).Index())
            raised[i] = largest = Math.Max(largest, Math.Min(1, values[i] * (values.Count - rank)));
        return raised;
    }

    /// <summary>
    /// The two-sided p-value of two shares from different questions, by the pooled normal approximation: z = (a - b) / sqrt(p (1 - p) (2/n)). For
    /// tables that give shares and no answers; where there are answers, use <see cref="McNemar"/>, which sees far more.
    /// </summary>
    /// <param name="first">a share, 0 to 1</param>
    /// <param name="second">the other</param>
    /// <param name="total">questions behind each</param>
    public static double TwoShares(double first, double second, int total)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(total, 1);
        double pooled = (first + second) / 2, spread = Math.Sqrt(pooled * (1 - pooled) * 2 / total);
        return spread == 0 ? 1 : ComplementaryError(Math.Abs(first - second) / spread / Math.Sqrt(2));
    }

    // erfc by the continued fraction of its tail, or the series of erf near zero: good to about 1e-12 for the x of a p-value.
    private static double ComplementaryError(double x)
    {
        if (x < 2)
        {
            double term = x, sum = x;
            for (int n = 1; n < 60; n++) sum += (term *= -x * x / n) / ((2 * n) + 1);
            return 1 - (2 / Math.Sqrt(Math.PI) * sum);
        }
        double fraction = 0;
        for (int n = 60; n >= 1; n--) fraction = n / 2.0 / (x + fraction);
        return Math.Exp(-x * x) / Math.Sqrt(Math.PI) / (x + fraction);
    }
}
