using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>How a grid finds w / s: by division, or by the reciprocal. One kernel is compiled for each.</summary>
internal interface IRatio
{
    static abstract Vector512<float> Of(Vector512<float> w, Vector512<float> scale, Vector512<float> inverse);
}

internal readonly struct ByReciprocal : IRatio
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Of(Vector512<float> w, Vector512<float> scale, Vector512<float> inverse) => w * inverse;
}

internal readonly struct ByDivision : IRatio
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Of(Vector512<float> w, Vector512<float> scale, Vector512<float> inverse) => w / scale;
}

/// <summary>Forward and update of learned rounding, one pass over a channel each; formulas and twin are in <see cref="RoundingReference"/>.</summary>
/// <remarks>
/// The update needs only the sign of dL/dV, so the gradient of V is never stored: one pass reads w, V and G, moves V, clears G for the
/// next iteration and sums dL/ds. Traffic is 12 bytes a weight forward and 20 back. The pinned weight takes part with a zero
/// gradient, which leaves its V where it is, and is then corrected alone. The end of a row goes through a padded vector of the same code;
/// that of codes, which no sum depends on, through the twin.
/// </remarks>
internal static class RoundingKernels
{
    private const int Lanes = 16;

    /// <summary>quantized = scale * code of every weight.</summary>
    public static void Forward(ReadOnlySpan<float> w, ReadOnlySpan<float> v, Span<float> quantized, ChannelScale channel, int pinned, Grid grid)
    {
        if (grid.Signed) Forward<ByDivision>(w, v, quantized, channel.Scale, grid);
        else Forward<ByReciprocal>(w, v, quantized, channel.Scale, grid);
        if (pinned >= 0) quantized[pinned] = channel.Scale * channel.PinnedCode;
    }

    /// <summary>The code of every weight, as signed bytes.</summary>
    public static void Codes(ReadOnlySpan<float> w, ReadOnlySpan<float> v, Span<byte> codes, ChannelScale channel, int pinned, Grid grid)
    {
        if (grid.Signed) Codes<ByDivision>(w, v, codes, channel.Scale, grid);
        else Codes<ByReciprocal>(w, v, codes, channel.Scale, grid);
        if (pinned >= 0) codes[pinned] = (byte)(sbyte)channel.PinnedCode;
    }

    /// <summary>v -= rate * sign(dL/dV); returns dL/ds; clears g.</summary>
    public static float Step(ReadOnlySpan<float> w, Span<float> v, Span<float> g, float rate, ChannelScale channel, int pinned, Grid grid)
    {
        float ofPinned = 0;
        if (pinned >= 0) (ofPinned, g[pinned]) = (g[pinned], 0);
        float ds = grid.Signed ? Step<ByDivision>(w, v, g, rate, channel.Scale, grid) : Step<ByReciprocal>(w, v, g, rate, channel.Scale, grid);
        return ds + ofPinned * channel.PinnedCode;
    }

    private static void Forward<TRatio>(ReadOnlySpan<float> w, ReadOnlySpan<float> v, Span<float> quantized, float scale, Grid grid) where TRatio : IRatio
    {
        ref float pw = ref MemoryMarshal.GetReference(w), pv = ref MemoryMarshal.GetReference(v), pq = ref MemoryMarshal.GetReference(quantized);
        var (step, inverse) = (Vector512.Create(scale), Vector512.Create(1f / scale));
        var (low, high) = (Vector512.Create((float)grid.Minimum), Vector512.Create((float)grid.Maximum));
        nuint i = 0, n = (nuint)w.Length;
        for (; i + Lanes <= n; i += Lanes)
        {
            var x = TRatio.Of(Vector512.LoadUnsafe(ref pw, i), step, inverse) + Vector512.LoadUnsafe(ref pv, i);
            (Clamp(Vector512.Round(x), low, high) * step).StoreUnsafe(ref pq, i);
        }
        if (i == n) return;
        Span<float> ends = stackalloc float[3 * Lanes];
        ends.Clear();
        w[(int)i..].CopyTo(ends);
        v[(int)i..].CopyTo(ends[Lanes..]);
        Forward<TRatio>(ends[..Lanes], ends.Slice(Lanes, Lanes), ends[(2 * Lanes)..], scale, grid);
        ends.Slice(2 * Lanes, (int)(n - i)).CopyTo(quantized[(int)i..]);
    }

    private static void Codes<TRatio>(ReadOnlySpan<float> w, ReadOnlySpan<float> v, Span<byte> codes, float scale, Grid grid) where TRatio : IRatio
    {
        ref float pw = ref MemoryMarshal.GetReference(w), pv = ref MemoryMarshal.GetReference(v);
        ref byte pc = ref MemoryMarshal.GetReference(codes);
        var (step, inverse) = (Vector512.Create(scale), Vector512.Create(1f / scale));
        var (low, high) = (Vector512.Create((float)grid.Minimum), Vector512.Create((float)grid.Maximum));
        nuint i = 0, n = (nuint)w.Length;
        for (; i + Lanes <= n; i += Lanes)
        {
            var x = TRatio.Of(Vector512.LoadUnsafe(ref pw, i), step, inverse) + Vector512.LoadUnsafe(ref pv, i);
            var wide = Vector512.ConvertToInt32Native(Clamp(Vector512.Round(x), low, high));
            var half = Vector256.Narrow(wide.GetLower(), wide.GetUpper());
            Vector128.Narrow(half.GetLower(), half.GetUpper()).AsByte().StoreUnsafe(ref pc, i);
        }
        for (; i < n; i++) codes[(int)i] = (byte)(sbyte)RoundingReference.Code(w[(int)i], v[(int)i], scale, grid);
    }

    private static float Step<TRatio>(ReadOnlySpan<float> w, Span<float> v, Span<float> g, float rate, float scale, Grid grid) where TRatio : IRatio
    {
        ref float pw = ref MemoryMarshal.GetReference(w), pv = ref MemoryMarshal.GetReference(v), pg = ref MemoryMarshal.GetReference(g);
        var (step, inverse) = (Vector512.Create(scale), Vector512.Create(1f / scale));
        var (low, high) = (Vector512.Create((float)grid.Minimum), Vector512.Create((float)grid.Maximum));
        var length = Vector512.Create(scale < 0 ? -rate : rate); // dL/dV has the sign of G times that of the scale.
        var sum = Vector512<float>.Zero;
        nuint i = 0, n = (nuint)w.Length;
        for (; i + Lanes <= n; i += Lanes)
        {
            var (gradient, offset) = (Vector512.LoadUnsafe(ref pg, i), Vector512.LoadUnsafe(ref pv, i));
            var ratio = TRatio.Of(Vector512.LoadUnsafe(ref pw, i), step, inverse);
            var rounded = Vector512.Round(ratio + offset);
            var code = Clamp(rounded, low, high);
            var inside = Vector512.Equals(code, rounded);
            sum += gradient * (code - (ratio & inside));
            var move = (length & Vector512.GreaterThan(gradient, Vector512<float>.Zero)) - (length & Vector512.LessThan(gradient, Vector512<float>.Zero));
            (offset - (move & inside)).StoreUnsafe(ref pv, i);
            Vector512<float>.Zero.StoreUnsafe(ref pg, i);
        }
        float total = Vector512.Sum(sum);
        return i == n ? total : total + End<TRatio>(w[(int)i..], v[(int)i..], g[(int)i..], rate, scale, grid);
    }

    private static float End<TRatio>(ReadOnlySpan<float> w, Span<float> v, Span<float> g, float rate, float scale, Grid grid) where TRatio : IRatio
    {
        Span<float> ends = stackalloc float[3 * Lanes];
        ends.Clear();
        w.CopyTo(ends);
        v.CopyTo(ends[Lanes..]);
        g.CopyTo(ends[(2 * Lanes)..]);
        float sum = Step<TRatio>(ends[..Lanes], ends.Slice(Lanes, Lanes), ends[(2 * Lanes)..], rate, scale, grid);
        ends.Slice(Lanes, v.Length).CopyTo(v);
        g.Clear();
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Clamp(Vector512<float> value, Vector512<float> low, Vector512<float> high) =>
        Vector512.MinNative(Vector512.MaxNative(value, low), high);
}
