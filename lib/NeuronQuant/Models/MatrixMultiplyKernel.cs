using System.Runtime.CompilerServices;

namespace NeuronQuant.Models;

/// <summary>The innermost multiplication: a tile of the result from one packed panel of each factor.</summary>
internal unsafe interface IMicroKernel
{
    /// <summary>Rows of a tile.</summary>
    static abstract int Rows { get; }

    /// <summary>Columns of a tile.</summary>
    static abstract int Columns { get; }

    /// <summary>Effectively computes target[i, j] (+)= sum over k of left[k, i] * right[k, j], the sum in the order of k.</summary>
    static abstract void Run(int depth, float* left, float* right, float* target, nint stride, bool accumulate);
}

/// <summary>Six rows times two vectors: for the 16 registers of AVX2, and for 128-bit vectors anywhere.</summary>
/// <remarks>
/// Twelve registers hold sums, two a row of the right panel, one a broadcast value: fifteen of sixteen. Twelve independent sums also
/// cover the latency of two multiply-adds a cycle.
/// </remarks>
internal readonly unsafe struct KernelNarrow<TLanes, TVector> : IMicroKernel where TLanes : struct, ILanes<TVector> where TVector : struct
{
    public static int Rows => 6;

    public static int Columns => 2 * TLanes.Count;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(int depth, float* left, float* right, float* target, nint stride, bool accumulate)
    {
        TVector r0l = default, r0h = default, r1l = default, r1h = default;
        TVector r2l = default, r2h = default, r3l = default, r3h = default;
        TVector r4l = default, r4h = default, r5l = default, r5h = default;
        for (int k = 0; k < depth; k++, left += 6, right += 2 * TLanes.Count)
        {
            TVector low = TLanes.Load(right), high = TLanes.Load(right + TLanes.Count);
            var x = TLanes.Fill(*left);
            r0l = TLanes.MultiplyAdd(x, low, r0l);
            r0h = TLanes.MultiplyAdd(x, high, r0h);
            x = TLanes.Fill(left[1]);
            r1l = TLanes.MultiplyAdd(x, low, r1l);
            r1h = TLanes.MultiplyAdd(x, high, r1h);
            x = TLanes.Fill(left[2]);
            r2l = TLanes.MultiplyAdd(x, low, r2l);
            r2h = TLanes.MultiplyAdd(x, high, r2h);
            x = TLanes.Fill(left[3]);
            r3l = TLanes.MultiplyAdd(x, low, r3l);
            r3h = TLanes.MultiplyAdd(x, high, r3h);
            x = TLanes.Fill(left[4]);
            r4l = TLanes.MultiplyAdd(x, low, r4l);
            r4h = TLanes.MultiplyAdd(x, high, r4h);
            x = TLanes.Fill(left[5]);
            r5l = TLanes.MultiplyAdd(x, low, r5l);
            r5h = TLanes.MultiplyAdd(x, high, r5h);
        }
        Put(r0l, r0h, target, accumulate);
        Put(r1l, r1h, target + stride, accumulate);
        Put(r2l, r2h, target + 2 * stride, accumulate);
        Put(r3l, r3h, target + 3 * stride, accumulate);
        Put(r4l, r4h, target + 4 * stride, accumulate);
        Put(r5l, r5h, target + 5 * stride, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(TVector low, TVector high, float* target, bool accumulate)
    {
        if (accumulate) (low, high) = (TLanes.Add(low, TLanes.Load(target)), TLanes.Add(high, TLanes.Load(target + TLanes.Count)));
        TLanes.Store(low, target);
        TLanes.Store(high, target + TLanes.Count);
    }
}
