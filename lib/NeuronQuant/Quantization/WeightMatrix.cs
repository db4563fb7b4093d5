using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>
/// A weight as quantization sees it: rows (output channels) of columns, in memory or in a mapped checkpoint, read a row at a time. A
/// vector, such as a norm's gain, is one row.
/// </summary>
/// <remarks>
/// bf16 rows are handed to the kernels as they lie in the file; every other type is decoded to float32 first, exactly, and so are rows that a
/// checkpoint computes from codes and scales.
/// </remarks>
public sealed class WeightMatrix
{
    private readonly ReadOnlyMemory<float> _floats;
    private readonly ReadOnlyMemory<ushort> _bf16;
    private readonly Checkpoint? _checkpoint;
    private readonly TensorInfo? _tensor;
    private readonly int _firstRow;

    private WeightMatrix(string name, int rows, int columns, ReadOnlyMemory<float> floats, ReadOnlyMemory<ushort> bf16)
    {
        if ((long)rows * columns != floats.Length + bf16.Length)
            throw new QuantizationException(name, $"{floats.Length + bf16.Length} weights cannot be {rows} rows of {columns}.");
        (Name, Rows, Columns, _floats, _bf16) = (name, rows, columns, floats, bf16);
        IsBf16 = !bf16.IsEmpty;
    }

    private WeightMatrix(WeightMatrix whole, int firstRow, int rows)
    {
        (Name, Rows, Columns, IsBf16) = (whole.Name, rows, whole.Columns, whole.IsBf16);
        (_floats, _bf16, _checkpoint, _tensor, _firstRow) = (whole._floats, whole._bf16, whole._checkpoint, whole._tensor, whole._firstRow + firstRow);
    }

    private WeightMatrix(Checkpoint checkpoint, TensorInfo tensor)
    {
        (_checkpoint, _tensor, Name) = (checkpoint, tensor, tensor.Name);
        if (tensor.Shape.Length is 0 or > 2 || tensor.ElementCount == 0 || tensor.Shape.Any(size => size > int.MaxValue))
            throw new QuantizationException(tensor.Name, $"has shape [{string.Join(", ", tensor.Shape)}]; a weight is a vector or a matrix, and not empty.");
        Rows = tensor.Shape.Length == 2 ? (int)tensor.Shape[0] : 1;
        Columns = (int)tensor.Shape[^1];
        IsBf16 = tensor.Type == TensorType.BF16 && !checkpoint.IsComputed(tensor);
    }

    /// <summary>The tensor's name, for messages.</summary>
    public string Name { get; }

    /// <summary>Output channels.</summary>
    public int Rows { get; }

    /// <summary>Input channels.</summary>
    public int Columns { get; }

    /// <summary>True when rows lie as bf16 codes.</summary>
    public bool IsBf16 { get; }

    /// <summary>Rows times columns.</summary>
    public long Count => (long)Rows * Columns;

    /// <summary>A weight of an open checkpoint; nothing is read yet.</summary>
    /// <exception cref="QuantizationException">the tensor is not a vector or a matrix, or is empty</exception>
    public static WeightMatrix Of(Checkpoint checkpoint, TensorInfo tensor) => new(checkpoint, tensor);

    /// <summary>A weight in memory, row-major [rows, columns].</summary>
    public static WeightMatrix Of(string name, ReadOnlyMemory<float> weights, int rows, int columns) => new(name, rows, columns, weights, default);

    /// <summary>A bf16 weight in memory, row-major [rows, columns].</summary>
    public static WeightMatrix OfBf16(string name, ReadOnlyMemory<ushort> codes, int rows, int columns) => new(name, rows, columns, default, codes);

    /// <summary>A view of some rows; nothing is copied.</summary>
    public WeightMatrix Slice(int firstRow, int rows)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rows, Rows - firstRow);
        return new WeightMatrix(this, firstRow, rows);
    }

    /// <summary>Views that together are the whole weight, each of at most so many weights but at least one row.</summary>
    public IEnumerable<WeightMatrix> Chunks(int weights = 1 << 24)
    {
        int rows = Math.Max(1, weights / Columns);
        for (int first = 0; first < Rows; first += rows) yield return Slice(first, Math.Min(rows, Rows - first));
    }

    /// <summary>The weights of one row as float32; <paramref name="destination"/> has Columns elements.</summary>
    public void ReadRow(int row, Span<float> destination)
    {
        if (IsBf16) BFloat16.Decode(Bf16Row(row), destination);
        else if (_checkpoint is not null) _checkpoint.ReadFloats(_tensor!, (long)(_firstRow + row) * Columns, destination);
        else _floats.Span.Slice((_firstRow + row) * Columns, Columns).CopyTo(destination);
    }

    /// <summary>All weights as float32, row-major.</summary>
    public float[] ToArray()
    {
        var values = new float[Count];
        for (int row = 0; row < Rows; row++) ReadRow(row, values.AsSpan(row * Columns, Columns));
        return values;
    }

    internal ReadOnlySpan<ushort> Bf16Row(int row) => _checkpoint is null
        ? _bf16.Span.Slice((_firstRow + row) * Columns, Columns)
        : MemoryMarshal.Cast<byte, ushort>(_checkpoint.Bytes(_tensor!, (long)(_firstRow + row) * Columns * 2, Columns * 2));
}
