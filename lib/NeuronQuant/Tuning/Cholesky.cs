using System.Numerics;
using System.Runtime.InteropServices;
using NeuronQuant.Models;

namespace NeuronQuant.Tuning;

/// <summary>Triangular factors of symmetric positive matrices in float64, by dot products of rows.</summary>
/// <remarks>
/// Lower: A = L L^T. InverseUpper: the upper U with A^-1 = U^T U, which GPTQ walks through. With P the reversal of rows and columns,
/// P A P = M M^T gives A^-1 = (P M^-1 P)^T (P M^-1 P), and P M^-1 P is upper triangular: one factorization and one triangular inverse,
/// and the inverse of A is never formed. n^3/3 operations each. Not blocked, so large matrices (above some thousand rows) wait for memory.
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

    // A column of the inverse of L by forward substitution, made in a buffer of its own so that sums run along memory.
    private static void InverseColumn(double[] lower, double[] inverse, int column, int n)
    {
        var x = new double[n];
        x[column] = 1 / lower[column * n + column];
        for (int row = column + 1; row < n; row++)
        {
            x[row] = -Dot(lower.AsSpan(row * n + column, row - column), x.AsSpan(column, row - column)) / lower[row * n + row];
        }
        for (int row = column; row < n; row++) inverse[row * n + column] = x[row];
    }

    private static double Dot(double[] a, int row, int other, int n, int count) => Dot(a.AsSpan(row * n, count), a.AsSpan(other * n, count));

    private static double Dot(ReadOnlySpan<double> x, ReadOnlySpan<double> y)
    {
        ReadOnlySpan<Vector<double>> xs = MemoryMarshal.Cast<double, Vector<double>>(x), ys = MemoryMarshal.Cast<double, Vector<double>>(y)[..xs.Length];
        Vector<double> even = default, odd = default;
        int i = 0;
        for (; i < xs.Length - 1; i += 2) (even, odd) = (even + xs[i] * ys[i], odd + xs[i + 1] * ys[i + 1]);
        if (i < xs.Length) even += xs[i] * ys[i];
        double sum = Vector.Sum(even + odd);
        for (i = xs.Length * Vector<double>.Count; i < x.Length; i++) sum += x[i] * y[i];
        return sum;
    }
}
