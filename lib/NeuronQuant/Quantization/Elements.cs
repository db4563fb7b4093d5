using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>
/// How a kernel reads thirty-two weights as floats, and puts codes back in their order. The just-in-time compiler makes one kernel for
/// each implementation, so bf16 weights are widened in registers and never stored as floats.
/// </summary>
/// <remarks>
/// Two bf16 codes lie in each 32-bit lane. Shifting the lane left gives the even one as a float, masking it gives the odd one: one
/// operation each, where widening in order would shuffle. Sums do not mind the order, and codes are woven together again by Pack.
/// Kernels are written once, on 512-bit vectors. Where the hardware is narrower, .NET splits each operation, in the same lane order, so
/// that sums round alike on every machine.
/// </remarks>
internal interface IElement<T> where T : unmanaged
{
    static abstract float ToFloat(T element);

    /// <summary>The largest magnitude; infinity or NaN when one is among them.</summary>
    static abstract float AbsoluteMaximum(ReadOnlySpan<T> row);

    /// <summary>Thirty-two elements from index on, in an order of the implementation's own.</summary>
    static abstract (Vector512<float> A, Vector512<float> B) Load(ref readonly T first, nuint index);

    /// <summary>The low bytes of the lanes of two loads, in the order of the elements.</summary>
    static abstract Vector512<byte> Pack(Vector512<int> a, Vector512<int> b, Vector512<int> c, Vector512<int> d);
}

internal readonly struct Bf16Element : IElement<ushort>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToFloat(ushort element) => BFloat16.Decode(element);

    public static float AbsoluteMaximum(ReadOnlySpan<ushort> row) => RowKernels.AbsoluteMaximum(row);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Vector512<float> A, Vector512<float> B) Load(ref readonly ushort first, nuint index)
    {
        var pairs = Vector512.LoadUnsafe(in first, index).AsUInt32();
        return ((pairs << 16).AsSingle(), (pairs & Vector512.Create(0xFFFF_0000u)).AsSingle());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Pack(Vector512<int> a, Vector512<int> b, Vector512<int> c, Vector512<int> d)
    {
        var low = (a & Vector512.Create(0xFF)) | (b << 8);
        var high = (c & Vector512.Create(0xFF)) | (d << 8);
        return Vector512.Narrow(low, high).AsByte();
    }
}

internal readonly struct FloatElement : IElement<float>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToFloat(float element) => element;

    public static float AbsoluteMaximum(ReadOnlySpan<float> row) => RowKernels.AbsoluteMaximum(row);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Vector512<float> A, Vector512<float> B) Load(ref readonly float first, nuint index) =>
        (Vector512.LoadUnsafe(in first, index), Vector512.LoadUnsafe(in first, index + 16));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Pack(Vector512<int> a, Vector512<int> b, Vector512<int> c, Vector512<int> d) =>
        Vector512.Narrow(Vector512.Narrow(a, b), Vector512.Narrow(c, d)).AsByte();
}
