using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NeuronQuant.Models;

/// <summary>Copies a strip of a matrix into a panel that the inner loop reads from front to back.</summary>
/// <remarks>
/// A panel holds, for each step k of the sum, the values of all lanes side by side: panel[k * width + lane]. Lanes are rows of the left
/// factor or columns of the right one; lanes beyond the matrix are zero, which adds nothing. Two cases matter: lanes lie side by side
/// already (copy), or the steps do (transpose, in 4 x 4 blocks held in registers). The work is 1 / (columns of the result) of the
/// multiplication's, but done badly it still shows: a scalar transpose costs a fifth of a layer of 256.
/// </remarks>
internal static unsafe class MatrixMultiplyPacking
{
    /// <summary>Packs lanes [lanes &lt;= width] and steps [depth] from source[lane * laneStride + k * depthStride].</summary>
    public static void Pack(float* source, nint laneStride, nint depthStride, int lanes, int depth, int width, float* panel)
    {
        if (lanes < width) new Span<float>(panel, depth * width).Clear();
        if (laneStride == 1) Copy(source, depthStride, lanes, depth, width, panel);
        else if (depthStride == 1 && Sse.IsSupported) Transpose(source, laneStride, lanes, depth, width, panel);
        else PackStrip(source, laneStride, depthStride, 0, lanes, 0, depth, width, panel);
    }

    private static void Copy(float* source, nint depthStride, int lanes, int depth, int width, float* panel)
    {
        for (int k = 0; k < depth; k++, source += depthStride, panel += width)
        {
            int lane = 0;
            if (Vector512.IsHardwareAccelerated)
                for (; lane <= lanes - 16; lane += 16) Vector512.Load(source + lane).Store(panel + lane);
            for (; lane <= lanes - 4; lane += 4) Vector128.Load(source + lane).Store(panel + lane);
            for (; lane < lanes; lane++) panel[lane] = source[lane];
        }
    }

    private static void Transpose(float* source, nint laneStride, int lanes, int depth, int width, float* panel)
    {
        int wholeLanes = lanes & ~3, wholeDepth = depth & ~3;
        for (int lane = 0; lane < wholeLanes; lane += 4)
        {
            float* from = source + lane * laneStride;
            float* to = panel + lane;
            for (int k = 0; k < wholeDepth; k += 4, from += 4, to += 4 * width) Transpose4(from, laneStride, to, width);
        }
        PackStrip(source, laneStride, 1, wholeLanes, lanes, 0, depth, width, panel);
        PackStrip(source, laneStride, 1, 0, wholeLanes, wholeDepth, depth, width, panel);
    }

    private static void Transpose4(float* from, nint stride, float* to, int width)
    {
        Vector128<float> a = Vector128.Load(from), b = Vector128.Load(from + stride);
        Vector128<float> c = Vector128.Load(from + 2 * stride), d = Vector128.Load(from + 3 * stride);
        Vector128<float> ab = Sse.UnpackLow(a, b), cd = Sse.UnpackLow(c, d);
        Sse.MoveLowToHigh(ab, cd).Store(to);
        Sse.MoveHighToLow(cd, ab).Store(to + width);
        ab = Sse.UnpackHigh(a, b);
        cd = Sse.UnpackHigh(c, d);
        Sse.MoveLowToHigh(ab, cd).Store(to + 2 * width);
        Sse.MoveHighToLow(cd, ab).Store(to + 3 * width);
    }

    private static void PackStrip(float* source, nint laneStride, nint depthStride, int lane0, int lane1, int k0, int k1, int width, float* panel)
    {
        for (int lane = lane0; lane < lane1; lane++)
            for (int k = k0; k < k1; k++) panel[k * width + lane] = source[lane * laneStride + k * depthStride];
    }
}
