using NeuronQuant.Formats;

namespace NeuronQuant.Models;

/// <summary>A linear module's weight as decoding reads it: bf16 when that loses nothing, float32 otherwise.</summary>
/// <remarks>
/// Decoding one text reads every weight once a token, so bytes are time. The weights of a bf16 checkpoint fit bf16 exactly and give the
/// same bits at half the bytes; others stay as they are, because rounding them would change the model without a word.
/// </remarks>
internal sealed unsafe class StreamedWeight
{
    private readonly Linear _linear;
    private readonly TiledWeight? _tiles;

    public StreamedWeight(Linear linear)
    {
        _linear = linear;
        var values = linear.Weight.Values;
        if (Array.TrueForAll(values, value => (BitConverter.SingleToUInt32Bits(value) & 0xFFFF) == 0))
        {
            var codes = new ushort[values.Length];
            BFloat16.Encode(values, codes);
            _tiles = new TiledWeight(codes, linear.In, linear.Out, MatrixMultiply.VectorBits);
        }
    }

    /// <summary>Whether the weight is read as bf16.</summary>
    public bool IsBf16 => _tiles is not null;

    /// <summary>y[rows, out] = x[rows, in] w^T + b; each row has the same bits whatever the number of rows.</summary>
    public void Forward(float[] x, float[] y, int rows)
    {
        fixed (float* px = x, py = y, pw = _linear.Weight.Values)
        {
            if (_tiles is not null) MatrixMultiply.Few(px, _tiles, py, rows);
            else MatrixMultiply.Few(px, pw, py, rows, _linear.In, _linear.Out, MatrixMultiply.VectorBits);
        }
        _linear.AddBias(y, rows);
    }
}
