using System.Collections.Immutable;

namespace NeuronQuant.Checkpoints;

/// <summary>Where a tensor lies and what its bytes mean; the tensor itself stays in the file.</summary>
/// <param name="Name">The tensor's name, such as model.layers.3.self_attn.q_proj.weight.</param>
/// <param name="Type">Type of one element.</param>
/// <param name="Shape">Dimensions, slowest first; empty for a scalar. A linear layer's weight is [out, in].</param>
/// <param name="File">Path of the file that holds the bytes.</param>
/// <param name="Offset">Byte at which the tensor starts, counted from the start of the file.</param>
/// <param name="ByteCount">Length in bytes.</param>
/// <remarks>
/// Bytes are little-endian and in C order, and so are the machines that .NET commonly runs on; big-endian machines are left out.
/// An instance made by a reader has been checked: shape, type, offset and length agree with each other and with the file.
/// </remarks>
public sealed record TensorInfo(string Name, TensorType Type, ImmutableArray<long> Shape, string File, long Offset, long ByteCount)
{
    /// <summary>Number of elements: the product of the shape, 1 for a scalar.</summary>
    public long ElementCount { get; } = Elements(Shape) ?? throw new OverflowException($"{Name}: the shape's product exceeds 64 bits.");

    /// <summary>Product of the dimensions; null when it does not fit into 64 bits. The order of multiplication is the reference's.</summary>
    internal static long? Elements(ImmutableArray<long> shape)
    {
        long product = 1;
        foreach (long dimension in shape)
        {
            Int128 next = (Int128)product * dimension;
            if (next > long.MaxValue) return null;
            product = (long)next;
        }
        return product;
    }

    /// <summary>Bytes of so many elements; null when they exceed 64 bits or end within a byte (see the out parameter).</summary>
    internal static long? Bytes(TensorType type, long elements, out bool partialByte)
    {
        Int128 bits = (Int128)elements * type.BitSize();
        partialByte = bits % 8 != 0;
        return partialByte || bits / 8 > long.MaxValue ? null : (long)(bits / 8);
    }

    /// <summary>Equal when all members are, the shape by its dimensions.</summary>
    public bool Equals(TensorInfo? other) => other is not null && Name == other.Name && Type == other.Type && File == other.File
        && Offset == other.Offset && ByteCount == other.ByteCount && Shape.SequenceEqual(other.Shape);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Name, Type, File, Offset, ByteCount);
}
