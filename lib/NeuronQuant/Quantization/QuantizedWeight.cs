using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>
/// The result of quantizing one weight: codes and scales, W is about scale * level(code). This is also what lies in a Neuron
/// checkpoint: <c>weight</c> [out, in] in 8 bits and <c>scale</c> [out, 1] (or [1]) in float32.
/// </summary>
/// <param name="Name">the tensor's name</param>
/// <param name="Grid">the grid, which also says the format</param>
/// <param name="Granularity">one scale a row or one for all</param>
/// <param name="Rows">output channels</param>
/// <param name="Columns">input channels</param>
/// <param name="Codes">code bytes, row-major [rows, columns]; int8 in two's complement</param>
/// <param name="Scales">[rows], or [1] per tensor</param>
public sealed record QuantizedWeight(string Name, Grid Grid, Granularity Granularity, int Rows, int Columns, byte[] Codes, float[] Scales)
{
    /// <summary>The scale of a row.</summary>
    public float Scale(int row) => Scales[Granularity == Granularity.PerChannelSymmetric ? row : 0];

    /// <summary>The integer codes, for integer grids.</summary>
    public ReadOnlySpan<sbyte> Integers => Grid.IsInteger
        ? System.Runtime.InteropServices.MemoryMarshal.Cast<byte, sbyte>(Codes)
        : throw new QuantizationException(Name, $"is on the grid {Grid}, whose codes are not integers.");

    /// <summary>scale * level(code) of one row, in float32.</summary>
    public void DequantizeRow(int row, Span<float> destination)
    {
        float scale = Scale(row);
        var codes = Codes.AsSpan(row * Columns, Columns);
        for (int i = 0; i < codes.Length; i++) destination[i] = RowReference.Level(codes[i], Grid) * scale;
    }

    /// <summary>scale * level(code) of the whole weight, row-major: what the device multiplies by.</summary>
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
}
