using NeuronQuant.Models;

namespace NeuronQuant.Methods;

/// <summary>Hadamard matrices, entries of +-1 with orthogonal rows, made without a table, and the random orthogonal matrices that come of
/// them.</summary>
/// <remarks>
/// A product of orthogonal matrices by Kronecker is one, so a size K * 2^m needs a matrix of K: Sylvester's for 1; Paley's first for K = q + 1, q a
/// prime with q = 3 mod 4 (12, 20, 44, 60, 108, 140); Paley's second for K = 2 (q + 1), q = 1 mod 4 (28, 36, 76). With chi(a) = 1 for squares
/// modulo q, -1 for others, 0 for 0, and Q_ij = chi(i - j):
///   first:   H = I + [[0, 1], [-1, Q]];   second: C = [[0, 1], [1, Q]], H = C x [[1, 1], [1, -1]] + I x [[1, -1], [-1, -1]]
/// Sizes of known models: 5120 = 20 * 256 (Nemo), 4096, 3584 = 28 * 128 (Qwen2 7B), 896 = 28 * 32, 1536 = 12 * 128. Tools ship tables
/// (hadamard_utils.py of facebookresearch/SpinQuant and spcl/QuaRot, the latter without 44). Left out: prime powers q, which no model here needs.
/// </remarks>
public static class Hadamard
{
    /// <summary>A Hadamard matrix, [size, size] row-major; null where this construction has none.</summary>
    public static sbyte[]? Of(int size)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        for (int factor = 1; factor <= size && size % factor == 0; factor *= 2)
            if (Core(size / factor) is { } core) return Kronecker(Sylvester(factor), core);
        return null;
    }

    /// <summary>
    /// A random orthogonal matrix, [size, size] row-major: diag(+-1) H / sqrt(size) where there is a Hadamard matrix, which spreads every channel
    /// evenly; else the Q of a matrix of normal numbers. The signs come first: behind H they would only turn the sign of whole columns of W R, every
    /// seed would round alike, and the mean of a row, which H gathers in one channel, would stay there.
    /// </summary>
    /// <param name="size">rows and columns</param>
    /// <param name="seed">the same seed gives the same matrix on every machine</param>
    public static double[] Random(int size, ulong seed)
    {
        var random = new RandomNumbers(seed);
        if (Of(size) is not { } hadamard) return Orthonormal(size, random);
        double[] signs = [.. Enumerable.Range(0, size).Select(_ => random.Uniform() < 0.5 ? -1 : 1.0)];
        double scale = 1 / Math.Sqrt(size);
        return [.. hadamard.Select((entry, i) => entry * signs[i / size] * scale)];
    }

    /// <summary>max |R R^T - I|: how far a matrix, [size, size], is from orthogonal.</summary>
    public static double Defect(double[] matrix, int size)
    {
        double worst = 0;
        for (int i = 0; i < size; i++)
            for (int j = 0; j <= i; j++)
            {
                double dot = 0;
                for (int k = 0; k < size; k++) dot += matrix[i * size + k] * matrix[j * size + k];
                worst = Math.Max(worst, Math.Abs(dot - (i == j ? 1 : 0)));
            }
        return worst;
    }

    private static sbyte[]? Core(int size)
    {
        if (size is 1 or 2) return Sylvester(size);
        if (IsPrime(size - 1) && (size - 1) % 4 == 3) return First(size - 1);
        return size % 2 == 0 && IsPrime(size / 2 - 1) && (size / 2 - 1) % 4 == 1 ? Second(size / 2 - 1) : null;
    }

    private static sbyte[] Sylvester(int size)
    {
        var matrix = new sbyte[size * size];
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++) matrix[i * size + j] = (sbyte)(int.PopCount(i & j) % 2 == 0 ? 1 : -1);
        return matrix;
    }

    private static sbyte[] First(int q)
    {
        sbyte[] border = Bordered(q, below: -1);
        for (int i = 0; i <= q; i++) border[i * (q + 1) + i]++;
        return border;
    }

    private static sbyte[] Second(int q)
    {
        int half = q + 1;
        var (c, matrix) = (Bordered(q, below: 1), new sbyte[4 * half * half]);
        for (int i = 0; i < 2 * half; i++)
            for (int j = 0; j < 2 * half; j++)
            {
                int entry = c[i / 2 * half + j / 2] * (i % 2 == 1 && j % 2 == 1 ? -1 : 1);
                if (i / 2 == j / 2) entry += i % 2 == 0 && j % 2 == 0 ? 1 : -1;
                matrix[i * 2 * half + j] = (sbyte)entry;
            }
        return matrix;
    }

    // [[0, 1], [below, Q]]
    private static sbyte[] Bordered(int q, sbyte below)
    {
        var (squares, matrix, size) = (Enumerable.Range(1, q - 1).Select(a => a * a % q).ToHashSet(), new sbyte[(q + 1) * (q + 1)], q + 1);
        for (int i = 1; i < size; i++)
        {
            (matrix[i], matrix[i * size]) = (1, below);
            for (int j = 1; j < size; j++)
                if (i != j) matrix[i * size + j] = (sbyte)(squares.Contains(((i - j) % q + q) % q) ? 1 : -1);
        }
        return matrix;
    }

    private static sbyte[] Kronecker(sbyte[] outer, sbyte[] inner)
    {
        int n = (int)Math.Sqrt(outer.Length), k = (int)Math.Sqrt(inner.Length), size = n * k;
        var matrix = new sbyte[size * size];
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++) matrix[i * size + j] = (sbyte)(outer[i / k * n + j / k] * inner[i % k * k + j % k]);
        return matrix;
    }

    private static bool IsPrime(int n)
    {
        if (n < 2) return false;
        for (int d = 2; d * d <= n; d++)
            if (n % d == 0) return false;
        return true;
    }

    // Gram and Schmidt, each row twice: once leaves errors of 1e-10 in large matrices.
    private static double[] Orthonormal(int size, RandomNumbers random)
    {
        var matrix = new double[size * size];
        for (int i = 0; i < size; i++)
        {
            var row = matrix.AsSpan(i * size, size);
            for (int k = 0; k < size; k++) row[k] = random.Normal();
            for (int pass = 0; pass < 2; pass++)
                for (int j = 0; j < i; j++)
                {
                    var other = matrix.AsSpan(j * size, size);
                    double dot = 0;
                    for (int k = 0; k < size; k++) dot += row[k] * other[k];
                    for (int k = 0; k < size; k++) row[k] -= dot * other[k];
                }
            double length = 0;
            foreach (double value in row) length += value * value;
            length = Math.Sqrt(length);
            for (int k = 0; k < size; k++) row[k] /= length;
        }
        return matrix;
    }
}
