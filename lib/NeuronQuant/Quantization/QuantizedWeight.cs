using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>
/// The result of quantizing one weight: codes and scales, W is about scale * level(code), or scale * (code - zero point). One scale a row and
/// no zero point is also what lies in a Neuron checkpoint: <c>weight</c> [out, in] in 8 bits and <c>scale</c> [out, 1] (or [1]) in float32.
/// </summary>
/// <param name="Name">the tensor's name</param>
/// <param name="Grid">the grid, which also says the format and how many weights of a row share a scale</param>
/// <param name="Granularity">scales for each row, or one for all</param>
/// <param name="Rows">output channels</param>
/// <param name="Columns">input channels</param>
/// <param name="Codes">code bytes, row-major [rows, columns]; integers in two's complement</param>
/// <param name="Scales">[rows, groups] row-major, which is [rows] without groups; [1] per tensor</param>
public sealed record QuantizedWeight(string Name, Grid Grid, Granularity Granularity, int Rows, int Columns, byte[] Codes, float[] Scales)
{
    private readonly float[] _zeroPoints = [];

    /// <summary>Zero points in codes, one beside each scale; empty for a grid without. HQQ's are no integers.</summary>
    /// <exception cref="QuantizationException">set for a grid without zero points, or with another number of them</exception>
    public float[] ZeroPoints
    {
        get => _zeroPoints;
        init => _zeroPoints = value.Length == (Grid.HasZeroPoint ? Scales.Length : 0) ? value
            : throw new QuantizationException(Name, $"has {Scales.Length} scales and {value.Length} zero points; the grid '{Grid}' "
                + (Grid.HasZeroPoint ? "wants one beside each scale." : "has none."));
    }

    /// <summary>Scales of a row.</summary>
    public int Groups => Grid.GroupsIn(Columns);

    /// <summary>Weights that share a scale along the input, but for the last group of a row.</summary>
    public int GroupSize => Grid.GroupSize ?? Columns;

    /// <summary>The scale of a row.</summary>
    /// <exception cref="QuantizationException">the row has several</exception>
    public float Scale(int row) => Groups == 1 ? Scale(row, 0)
        : throw new QuantizationException(Name, $"has {Groups} scales a row, one for every {GroupSize} columns: ask for that of a column.");

    /// <summary>The scale of the weight in a row and a column.</summary>
    public float Scale(int row, int column) => Scales[ScaleIndex(row, column)];

    /// <summary>The zero point of the weight in a row and a column, in codes; 0 for a grid without.</summary>
    /// <exception cref="QuantizationException">the grid has zero points, and the weight was made without</exception>
    public float ZeroPoint(int row, int column) => !Grid.HasZeroPoint ? 0 : _zeroPoints.Length == Scales.Length ? _zeroPoints[ScaleIndex(row, column)]
        : throw new QuantizationException(Name, $"is on the grid '{Grid}' and has no zero points. What made it handles symmetric grids only.");

    /// <summary>The integer codes, for integer grids.</summary>
    public ReadOnlySpan<sbyte> Integers => Grid.IsInteger
        ? System.Runtime.InteropServices.MemoryMarshal.Cast<byte, sbyte>(Codes)
        : throw new QuantizationException(Name, $"is on the grid {Grid}, whose codes are not integers.");

    /// <summary>scale * (level(code) - zero point) of one row, in float32.</summary>
    public void DequantizeRow(int row, Span<float> destination)
    {
        CheckScales();
        var codes = Codes.AsSpan(row * Columns, Columns);
        for (int start = 0; start < Columns; start += GroupSize)
        {
            float scale = Scale(row, start), zero = ZeroPoint(row, start);
            for (int i = start; i < Math.Min(start + GroupSize, Columns); i++) destination[i] = (RowReference.Level(codes[i], Grid) - zero) * scale;
        }
    }

    /// <summary>scale * (level(code) - zero point) of the whole weight, row-major: what the device multiplies by.</summary>
    public float[] Dequantize()
    {
        var values = new float[Codes.Length];
        for (int row = 0; row < Rows; row++) DequantizeRow(row, values.AsSpan(row * Columns, Columns));
        return values;
    }

    /// <summary>The dequantized weight rounded to bf16: a fake-quantized weight as it lies in a bf16 file.</summary>
    public ushort[] DequantizeBf16()
    {
        var codes = new ushort[Codes.Length];
        BFloat16.Encode(Dequantize(), codes);
        return codes;
    }

    private int ScaleIndex(int row, int column) =>
        Granularity == Granularity.PerTensorSymmetric ? 0 : row * Groups + column / GroupSize;

    // A method that knows only one scale a row would otherwise be read past its scales, or with the wrong ones.
    private void CheckScales()
    {
        int expected = Granularity == Granularity.PerTensorSymmetric ? 1 : Rows * Groups;
        if (Scales.Length < expected)
            throw new QuantizationException(Name, $"has {Scales.Length} scales, and the grid '{Grid}' wants {expected}. What made it handles "
                + "one scale a row only.");
    }
}
