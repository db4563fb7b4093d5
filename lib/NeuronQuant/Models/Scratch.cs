using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace NeuronQuant.Models;

/// <summary>What a thread keeps a buffer for; two uses at one time need two names.</summary>
internal enum ScratchUse
{
    /// <summary>Packed rows of the left matrix.</summary>
    LeftPanels,

    /// <summary>Packed columns of the right matrix, shared by the team.</summary>
    RightPanels,

    /// <summary>Scores of a block of queries.</summary>
    Scores,

    /// <summary>Their gradients.</summary>
    ScoreGradients,
}

/// <summary>Buffers that belong to a thread and are used again by the next call: kernels allocate nothing once they are warm.</summary>
/// <remarks>
/// The arrays are pinned, so that a pointer into them stays good, and start at a multiple of 64 bytes: a packed panel then never makes
/// a vector cross a cache line. Each thread has its own; the garbage collector takes them with the thread.
/// </remarks>
internal static unsafe class Scratch
{
    private const int AlignedFloats = 16; // 64 bytes, a cache line and the widest vector.

    [ThreadStatic]
    private static float[]?[]? _buffers;

    /// <summary>At least so many floats with undefined values, valid until the same thread asks again for the same use.</summary>
    public static float* Get(ScratchUse use, int floats)
    {
        var buffers = _buffers ??= new float[]?[Enum.GetValues<ScratchUse>().Length];
        var buffer = buffers[(int)use];
        if (buffer is null || buffer.Length < floats + AlignedFloats)
            buffers[(int)use] = buffer = GC.AllocateUninitializedArray<float>(floats + AlignedFloats, pinned: true);
        nint address = (nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(buffer));
        return (float*)((address + 63) & ~63);
    }
}
