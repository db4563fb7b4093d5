namespace NeuronQuant.Models;

/// <summary>A view of floats as a matrix: element (i, j) lies at i * RowStride + j * ColumnStride.</summary>
/// <remarks>
/// Two strides make a transposed matrix, one head of many and a block of rows all the same thing, so that one multiplication serves
/// forward, both gradients and attention. The memory must be pinned while a view lives.
/// </remarks>
internal readonly unsafe struct Matrix(float* data, int rows, int columns, nint rowStride, nint columnStride = 1)
{
    public float* Data { get; } = data;

    public int Rows { get; } = rows;

    public int Columns { get; } = columns;

    public nint RowStride { get; } = rowStride;

    public nint ColumnStride { get; } = columnStride;

    /// <summary>The same floats with rows and columns exchanged.</summary>
    public Matrix Transposed => new(Data, Columns, Rows, ColumnStride, RowStride);

    /// <summary>Some consecutive rows.</summary>
    public Matrix RowRange(int first, int count) => new(Data + first * RowStride, count, Columns, RowStride, ColumnStride);

    /// <summary>Address of an element.</summary>
    public float* At(int row, int column) => Data + row * RowStride + column * ColumnStride;
}
