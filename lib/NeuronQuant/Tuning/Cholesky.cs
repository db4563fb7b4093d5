using NeuronQuant.Models;

namespace NeuronQuant.Tuning;

/// <summary>Triangular factors of symmetric positive matrices in float64, by plain loops over rows.</summary>
/// <remarks>
/// Lower: A = L L^T. InverseUpper: the upper U with A^-1 = U^T U, which GPTQ walks through. With P the reversal of rows and columns,
/// P A P = M M^T gives A^-1 = (P M^-1 P)^T (P M^-1 P), and P M^-1 P is upper triangular: one factorization and one triangular inverse,
/// and the inverse of A is never formed. n^3/3 and n^3/3 operations.
/// </remarks>
internal static class Cholesky
{
    /// <summary>Overwrites the lower triangle of A [n, n] by L; false when A is not positive.</summary>
    public static bool Lower(double[] a, int n)
    {
        for (int column = 0; column < n; column++)
        {
            double pivot = a[column * n + column] - Dot(a, column, column, n, column);
            if (!(pivot > 0)) return false;
            double root = a[column * n + column] = Math.Sqrt(pivot);
            RowParts.Run(n - column - 1, (_, first, last) =>
            {
                for (int row = column + 1 + first; row < column + 1 + last; row++)
                    a[row * n + column] = (a[row * n + column] - Dot(a, row, column, n, column)) / root;
            });
        }
        return true;
    }

    /// <summary>The upper U with A^-1 = U^T U, [n, n]; null when A is not positive. A is overwritten.</summary>
    public static double[]? InverseUpper(double[] a, int n)
    {
        Array.Reverse(a); // Reversing all n * n values reverses rows and columns at once.
        if (!Lower(a, n)) return null;
        var inverse = new double[n * n];
        RowParts.Run(n, (_, first, last) =>
        {
            for (int column = first; column < last; column++) InverseColumn(a, inverse, column, n);
        });
        Array.Reverse(inverse);
        return inverse;
    }

    // Column of the inverse of L, kept as a row of the result's transpose while it is made: sums then run along memory.
    private static void InverseColumn(double[] lower, double[] inverse, int column, int n)
    {
        var x = new double[n];
        x[column] = 1 / lower[column * n + column];
        for (int row = column + 1; row < n; row++)
        {
            double sum = 0;
            for (int k = column; k < row; k++) sum += lower[row * n + k] * x[k];
            x[row] = -sum / lower[row * n + row];
        }
        for (int row = column; row < n; row++) inverse[row * n + column] = x[row];
    }

    private static double Dot(double[] a, int row, int other, int n, int count)
    {
        ReadOnlySpan<double> x = a.AsSpan(row * n, count), y = a.AsSpan(other * n, count);
        double sum = 0;
        for (int k = 0; k < x.Length; k++) sum += x[k] * y[k];
        return sum;
    }
}
