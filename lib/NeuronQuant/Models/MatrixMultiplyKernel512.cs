using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace NeuronQuant.Models;

/// <summary>Twelve rows times 32 columns in 24 vectors of 512 bits: what the inner loop of a multiplication is on AVX-512.</summary>
/// <remarks>
/// Of the 32 registers 24 hold sums, two a row of the right panel and one a broadcast value of the left: a step in k is two loads,
/// twelve broadcasts and 24 fused multiply-adds, so the multipliers never wait for memory. Written out because the compiler keeps
/// named variables in registers, and an array of them not.
/// </remarks>
internal readonly unsafe struct Kernel512 : IMicroKernel
{
    public static int Rows => 12;

    public static int Columns => 32;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(int depth, float* left, float* right, float* target, nint stride, bool accumulate)
    {
        Vector512<float> r0l = default, r0h = default, r1l = default, r1h = default;
        Vector512<float> r2l = default, r2h = default, r3l = default, r3h = default;
        Vector512<float> r4l = default, r4h = default, r5l = default, r5h = default;
        Vector512<float> r6l = default, r6h = default, r7l = default, r7h = default;
        Vector512<float> r8l = default, r8h = default, r9l = default, r9h = default;
        Vector512<float> r10l = default, r10h = default, r11l = default, r11h = default;
        for (int k = 0; k < depth; k++, left += 12, right += 32)
        {
            Vector512<float> low = Vector512.Load(right), high = Vector512.Load(right + 16);
            var x = Vector512.Create(*left);
            r0l = Vector512.FusedMultiplyAdd(x, low, r0l);
            r0h = Vector512.FusedMultiplyAdd(x, high, r0h);
            x = Vector512.Create(left[1]);
            r1l = Vector512.FusedMultiplyAdd(x, low, r1l);
            r1h = Vector512.FusedMultiplyAdd(x, high, r1h);
            x = Vector512.Create(left[2]);
            r2l = Vector512.FusedMultiplyAdd(x, low, r2l);
            r2h = Vector512.FusedMultiplyAdd(x, high, r2h);
            x = Vector512.Create(left[3]);
            r3l = Vector512.FusedMultiplyAdd(x, low, r3l);
            r3h = Vector512.FusedMultiplyAdd(x, high, r3h);
            x = Vector512.Create(left[4]);
            r4l = Vector512.FusedMultiplyAdd(x, low, r4l);
            r4h = Vector512.FusedMultiplyAdd(x, high, r4h);
            x = Vector512.Create(left[5]);
            r5l = Vector512.FusedMultiplyAdd(x, low, r5l);
            r5h = Vector512.FusedMultiplyAdd(x, high, r5h);
            x = Vector512.Create(left[6]);
            r6l = Vector512.FusedMultiplyAdd(x, low, r6l);
            r6h = Vector512.FusedMultiplyAdd(x, high, r6h);
            x = Vector512.Create(left[7]);
            r7l = Vector512.FusedMultiplyAdd(x, low, r7l);
            r7h = Vector512.FusedMultiplyAdd(x, high, r7h);
            x = Vector512.Create(left[8]);
            r8l = Vector512.FusedMultiplyAdd(x, low, r8l);
            r8h = Vector512.FusedMultiplyAdd(x, high, r8h);
            x = Vector512.Create(left[9]);
            r9l = Vector512.FusedMultiplyAdd(x, low, r9l);
            r9h = Vector512.FusedMultiplyAdd(x, high, r9h);
            x = Vector512.Create(left[10]);
            r10l = Vector512.FusedMultiplyAdd(x, low, r10l);
            r10h = Vector512.FusedMultiplyAdd(x, high, r10h);
            x = Vector512.Create(left[11]);
            r11l = Vector512.FusedMultiplyAdd(x, low, r11l);
            r11h = Vector512.FusedMultiplyAdd(x, high, r11h);
        }
        Put(r0l, r0h, target, accumulate);
        Put(r1l, r1h, target + stride, accumulate);
        Put(r2l, r2h, target + 2 * stride, accumulate);
        Put(r3l, r3h, target + 3 * stride, accumulate);
        Put(r4l, r4h, target + 4 * stride, accumulate);
        Put(r5l, r5h, target + 5 * stride, accumulate);
        Put(r6l, r6h, target + 6 * stride, accumulate);
        Put(r7l, r7h, target + 7 * stride, accumulate);
        Put(r8l, r8h, target + 8 * stride, accumulate);
        Put(r9l, r9h, target + 9 * stride, accumulate);
        Put(r10l, r10h, target + 10 * stride, accumulate);
        Put(r11l, r11h, target + 11 * stride, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(Vector512<float> low, Vector512<float> high, float* target, bool accumulate)
    {
        if (accumulate) (low, high) = (low + Vector512.Load(target), high + Vector512.Load(target + 16));
        low.Store(target);
        high.Store(target + 16);
    }
}
