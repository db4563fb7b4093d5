using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace NeuronQuant.Models;

/// <summary>Elementwise loops on rows: sums, products and the exponential, some of them with vectors.</summary>
/// <remarks>
/// e^x = 2^n * e^r with n = round(x / ln 2) and |r| below 0.35, where a polynomial of degree 6 is good to 2 units in the last place; ln 2
/// is subtracted in two pieces so that r keeps its bits. The rest of a row that fills no vector goes through the same vector code, so a
/// value's result does not depend on its place. Inputs below -87 give the smallest normal float instead of a denormal: 1e-38 instead of 0.
/// </remarks>
internal static class VectorMath
{
    private const float Log2E = 1.44269504f, Ln2High = 0.693359375f, Ln2Low = -2.12194440e-4f;

    /// <summary>e^x for x in [-87, 88]; clamped beyond.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Exp(Vector<float> x)
    {
        x = Vector.Min(Vector.Max(x, new Vector<float>(-87f)), new Vector<float>(88f));
        var n = Vector.Round(x * Log2E);
        var r = x - n * Ln2High - n * Ln2Low;
        var p = Vector.FusedMultiplyAdd(new Vector<float>(1.9875691500e-4f), r, new Vector<float>(1.3981999507e-3f));
        p = Vector.FusedMultiplyAdd(p, r, new Vector<float>(8.3334519073e-3f));
        p = Vector.FusedMultiplyAdd(p, r, new Vector<float>(4.1665795894e-2f));
        p = Vector.FusedMultiplyAdd(p, r, new Vector<float>(1.6666665459e-1f));
        p = Vector.FusedMultiplyAdd(p, r, new Vector<float>(0.5f));
        p = Vector.FusedMultiplyAdd(p, r * r, r + Vector<float>.One);
        var power = (Vector.ConvertToInt32(n) + new Vector<int>(127)) << 23;
        return p * Vector.AsVectorSingle(power);
    }

    /// <summary>Effectively computes row[i] = e^(scale * row[i] - shift), and returns the sum of the new row.</summary>
    public static float ExpInPlace(Span<float> row, float scale, float shift)
    {
        var vectors = MemoryMarshal.Cast<float, Vector<float>>(row);
        var sum = Vector<float>.Zero;
        for (int i = 0; i < vectors.Length; i++) sum += vectors[i] = Exp(vectors[i] * scale - new Vector<float>(shift));
        float total = Vector.Sum(sum);
        Span<float> rest = row[(vectors.Length * Vector<float>.Count)..], padded = stackalloc float[Vector<float>.Count];
        rest.CopyTo(padded);
        Exp(new Vector<float>(padded) * scale - new Vector<float>(shift)).CopyTo(padded);
        padded[..rest.Length].CopyTo(rest);
        foreach (float value in rest) total += value;
        return total;
    }

    /// <summary>The largest value; negative infinity for an empty row.</summary>
    public static float Maximum(ReadOnlySpan<float> row)
    {
        var vectors = MemoryMarshal.Cast<float, Vector<float>>(row);
        var largest = new Vector<float>(float.NegativeInfinity);
        foreach (var vector in vectors) largest = Vector.Max(largest, vector);
        float result = float.NegativeInfinity;
        for (int i = 0; i < Vector<float>.Count; i++) result = MathF.Max(result, largest[i]);
        foreach (float value in row[(vectors.Length * Vector<float>.Count)..]) result = MathF.Max(result, value);
        return result;
    }

    /// <summary>Sum of a[i] * b[i].</summary>
    public static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        ReadOnlySpan<Vector<float>> va = MemoryMarshal.Cast<float, Vector<float>>(a), vb = MemoryMarshal.Cast<float, Vector<float>>(b)[..va.Length];
        Vector<float> even = default, odd = default;
        int i = 0;
        for (; i < va.Length - 1; i += 2)
        {
            even = Vector.FusedMultiplyAdd(va[i], vb[i], even);
            odd = Vector.FusedMultiplyAdd(va[i + 1], vb[i + 1], odd);
        }
        if (i < va.Length) even = Vector.FusedMultiplyAdd(va[i], vb[i], even);
        float sum = Vector.Sum(even + odd);
        for (i = va.Length * Vector<float>.Count; i < a.Length; i++) sum += a[i] * b[i];
        return sum;
    }

    /// <summary>target[i] += factor * source[i].</summary>
    public static void AddScaled(Span<float> target, ReadOnlySpan<float> source, float factor)
    {
        var targets = MemoryMarshal.Cast<float, Vector<float>>(target);
        var sources = MemoryMarshal.Cast<float, Vector<float>>(source)[..targets.Length];
        for (int i = 0; i < targets.Length; i++) targets[i] = Vector.FusedMultiplyAdd(sources[i], new Vector<float>(factor), targets[i]);
        for (int i = targets.Length * Vector<float>.Count; i < target.Length; i++) target[i] = MathF.FusedMultiplyAdd(source[i], factor, target[i]);
    }

    /// <summary>row[i] *= factor.</summary>
    public static void Scale(Span<float> row, float factor)
    {
        var vectors = MemoryMarshal.Cast<float, Vector<float>>(row);
        for (int i = 0; i < vectors.Length; i++) vectors[i] *= factor;
        for (int i = vectors.Length * Vector<float>.Count; i < row.Length; i++) row[i] *= factor;
    }
}
