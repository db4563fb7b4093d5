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

    /// <summary>The normal distribution's 80 % point: a difference that is there is found four times in five.</summary>
    private const double Z80 = 0.8416212335729143;

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
    /// A 95 % interval of the difference of two shares on the same questions, by Agresti and Min (2005): half a question is added to each of the
    /// four counts, and then d +- z sqrt(b + c - (b - c)^2 / n) / n. It is never empty, and holds for few questions.
    /// </summary>
    /// <param name="onlyFirst">questions that only the first model answers rightly</param>
    /// <param name="onlySecond">questions that only the second does</param>
    /// <param name="total">questions</param>
    public static (double Low, double High) PairedDifference(int onlyFirst, int onlySecond, int total)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(onlyFirst);
        ArgumentOutOfRangeException.ThrowIfNegative(onlySecond);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(onlyFirst + onlySecond, total);
        double n = total + 2, difference = onlyFirst - onlySecond;
        double half = Z95 * Math.Sqrt(onlyFirst + onlySecond + 1 - (difference * difference / n)) / n;
        return (Math.Max(-1, (difference / n) - half), Math.Min(1, (difference / n) + half));
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

    /// <summary>p-values after Holm's correction, in the order in which they were given.</summary>
    /// <param name="values">p-values of tests that are looked at together</param>
    /// <remarks>
    /// Holm, 1979: the smallest of m is multiplied by m, the next by m - 1, and none falls below one before it. Whatever holds, the chance that
    /// even one of the tests finds a difference where there is none stays below the level; of twenty tests without correction one does so by chance.
    /// </remarks>
    public static double[] Holm(IReadOnlyList<double> values)
    {
        ArgumentNullException.ThrowIfNull(values);
        var corrected = new double[values.Count];
        double largest = 0;
        foreach (var (rank, at) in Enumerable.Range(0, values.Count).OrderBy(i => values[i]).Index())
            corrected[at] = largest = Math.Max(largest, Math.Min(1, (values.Count - rank) * values[at]));
        return corrected;
    }

    /// <summary>
    /// Questions that it would take to tell two models apart, if they go on to differ as on those that were asked: McNemar's test at p = 0.05,
    /// two-sided, finding the difference four times in five. Null where both won as often.
    /// </summary>
    /// <param name="onlyFirst">questions that only the first model answers rightly</param>
    /// <param name="onlySecond">questions that only the second does</param>
    /// <param name="total">questions in all</param>
    /// <remarks>
    /// Connor, 1987: n = (1.96 sqrt(d) + 0.84 sqrt(d - e^2))^2 / e^2, d the share on which they differ, e the difference of their shares.
    /// </remarks>
    public static long? QuestionsToTellApart(int onlyFirst, int onlySecond, int total)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(total, 1);
        double differ = (onlyFirst + onlySecond) / (double)total, effect = Math.Abs(onlyFirst - onlySecond) / (double)total;
        if (effect == 0) return null;
        double root = (Z95 * Math.Sqrt(differ)) + (Z80 * Math.Sqrt(differ - (effect * effect)));
        return (long)Math.Ceiling(root * root / (effect * effect));
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
