using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>
/// How a kernel reads sixteen weights as floats. The just-in-time compiler makes one kernel for each implementation, so bf16 weights are
/// widened in registers and never stored as floats.
/// </summary>
/// <remarks>
/// Kernels are written once, on 512-bit vectors. Where the hardware is narrower, .NET splits each operation, in the same lane order, so
/// that sums round alike on every machine.
/// </remarks>
internal interface IElement<T> where T : unmanaged
{
    static abstract float ToFloat(T element);

    /// <summary>Sixteen elements from index on.</summary>
    static abstract Vector512<float> Load(ref readonly T first, nuint index);
}

internal readonly struct Bf16Element : IElement<ushort>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToFloat(ushort element) => BFloat16.Decode(element);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(ref readonly ushort first, nuint index)
    {
        var codes = Vector256.LoadUnsafe(in first, index);
        return (Vector512.Create(Vector256.WidenLower(codes), Vector256.WidenUpper(codes)) << 16).AsSingle();
    }
}

internal readonly struct FloatElement : IElement<float>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToFloat(float element) => element;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(ref readonly float first, nuint index) => Vector512.LoadUnsafe(in first, index);
}
