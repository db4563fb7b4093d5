using NeuronQuant.Formats;

namespace NeuronQuant.Checkpoints;

/// <summary>A weight that lies in the file as codes and scales: its values are code x scale in float32, rounded to bf16.</summary>
/// <remarks>
/// The scale's shape says what shares one, for a weight [out, in]: one number, [out] or [out, 1], [out, in / g] for groups of g columns, and
/// [ceil(out / r), ceil(in / c)] for blocks of r x c, the last ones cut off; ModelOpt writes the latter [., 1, ., 1]. Codes are decoded as they are
/// asked for, and only the scales, 1/128 of the columns at most, stay in memory. Source: vLLM 0.11, quantization/fp8.py and
/// modelopt.py; DeepSeek-V3, inference/fp8_cast_bf16.py.
/// </remarks>
internal sealed class ScaledTensor : IComputedTensor
{
    private const int UsualBlock = 128; // DeepSeek's, Qwen's and ModelOpt's.
    private const long Whole = 1L << 40; // Beyond any row or column: all of them share.

    private readonly Checkpoint _stored;
    private readonly Lazy<float[]> _scales;
    private readonly long _columns, _blockRows, _blockColumns, _scaleColumns;

    private ScaledTensor(Checkpoint stored, TensorInfo code, TensorInfo scale, (long Rows, long Columns) block)
    {
        (_stored, Code, Scale, _columns, _blockRows, _blockColumns) = (stored, code, scale, code.Shape[1], block.Rows, block.Columns);
        _scaleColumns = Ceiling(_columns, _blockColumns);
        _scales = new Lazy<float[]>(ReadScales);
        Values = code with { Type = TensorType.BF16, ByteCount = checked(2 * code.ElementCount) };
    }

    /// <summary>The codes in the file, [out, in].</summary>
    public TensorInfo Code { get; }

    /// <summary>The scales in the file.</summary>
    public TensorInfo Scale { get; }

    /// <inheritdoc/>
    public IEnumerable<TensorInfo> Companions => [Scale];

    /// <summary>The weight as it is read: name, shape and place of the codes, in bf16.</summary>
    public TensorInfo Values { get; }

    /// <summary>What was stored, in words: fp8 with block scales.</summary>
    public string Kind => $"{(Code.Type == TensorType.I8 ? "int8" : "fp8")} with {Sharing}";

    private string Sharing => (_blockRows, _blockColumns) switch
    {
        (Whole, _) => "a scale per tensor",
        (1, Whole) => "a scale per channel",
        (1, var columns) => $"a scale per {columns} columns",
        var (rows, columns) => $"block scales of {rows} x {columns}",
    };

    /// <summary>The view of a code and its scale; nothing is read yet.</summary>
    /// <param name="stored">the checkpoint as it lies</param>
    /// <param name="code">[out, in], I8, F8_E4M3 or F8_E5M2</param>
    /// <param name="scale">F32, F16 or BF16</param>
    /// <param name="declared">the block that config.json names, if any</param>
    /// <exception cref="CheckpointException">the scale's type or shape fits no known sharing</exception>
    public static ScaledTensor Of(Checkpoint stored, TensorInfo code, TensorInfo scale, (int Rows, int Columns)? declared)
    {
        if (scale.Type is not (TensorType.F32 or TensorType.F16 or TensorType.BF16))
            throw Error(scale, $"dtype {scale.Type.Name()}", "a scale in F32, F16 or BF16");
        if (code.Shape is not [> 0, > 0]) throw Error(code, $"shape {CheckpointException.Quote(code.Shape)}", "a matrix beside a scale");
        return new ScaledTensor(stored, code, scale, BlockOf(code, scale, declared)
            ?? throw Error(scale, $"shape {CheckpointException.Quote(scale.Shape)}",
                $"one scale for all, for each row, group or block of {CheckpointException.Quote(code.Shape)}"));
    }

    /// <summary>Values from firstElement on, in C order: as many as the destination is long.</summary>
    public void ReadFloats(long firstElement, Span<float> destination)
    {
        _stored.ReadFloats(Code, firstElement, destination);
        float[] scales = _scales.Value;
        for (int done = 0; done < destination.Length;)
        {
            var (row, column) = Math.DivRem(firstElement + done, _columns);
            long end = Math.Min(_columns, (column / _blockColumns + 1) * _blockColumns);
            int count = (int)Math.Min(end - column, destination.Length - done);
            float scale = scales[row / _blockRows * _scaleColumns + column / _blockColumns];
            foreach (ref float value in destination.Slice(done, count)) value = BFloat16.Round(value * scale);
            done += count;
        }
    }

    /// <inheritdoc/>
    public string? WhyNoIntegers => Code.Type != TensorType.I8 ? "its codes are fp8"
        : _blockColumns < _columns ? $"a row has a scale for every {_blockColumns} columns" : null;

    /// <inheritdoc/>
    public string? WhyNotOnNeuron => WhyNoIntegers ?? (_scales.Value.Contains(0) ? "a scale is 0" : null);

    /// <inheritdoc/>
    public float ReadRow(int row, Span<int> integers)
    {
        var codes = _stored.Bytes(Code, row * _columns, integers.Length);
        for (int i = 0; i < integers.Length; i++) integers[i] = (sbyte)codes[i];
        return _scales.Value[row / _blockRows];
    }

    private static (long Rows, long Columns)? BlockOf(TensorInfo code, TensorInfo scale, (int Rows, int Columns)? declared)
    {
        long rows = code.Shape[0], columns = code.Shape[1];
        long[] shape = scale.Shape is [var outer, 1, var inner, 1] ? [outer, inner] : [.. scale.Shape];
        if (shape.Length == 2 && declared is (var r, var c) && Fits(r, c)) return (r, c);
        if (shape.All(size => size == 1)) return (Whole, Whole);
        if (shape.Length == 1) return shape[0] == rows ? (1, Whole) : null;
        if (shape.Length != 2) return null;
        if (shape[0] == rows && shape[1] == 1) return (1, Whole);
        if (declared is not null) return null;
        if (shape[0] == rows && shape[1] > 0 && columns % shape[1] == 0) return (1, columns / shape[1]);
        return Fits(UsualBlock, UsualBlock) ? (UsualBlock, UsualBlock) : null;

        bool Fits(long height, long width) => shape[0] == Ceiling(rows, height) && shape[1] == Ceiling(columns, width);
    }

    private static long Ceiling(long size, long block) => (size + block - 1) / block;

    private float[] ReadScales()
    {
        var scales = new float[Scale.ElementCount];
        _stored.ReadFloats(Scale, 0, scales);
        int bad = Array.FindIndex(scales, scale => !float.IsFinite(scale));
        return bad < 0 ? scales
            : throw Error(Scale, $"a scale that is no number ({scales[bad]}, the {bad + 1}. of {scales.Length})", "finite scales");
    }

    private static CheckpointException Error(TensorInfo tensor, string found, string expected) => new(CheckpointFailure.ScaleInvalid, tensor.File,
        tensor.Name, found, expected, "Codes and scales are of different writes, or of a scheme not known here: use the original checkpoint.");
}
