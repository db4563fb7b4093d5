using NeuronQuant.Formats;

namespace NeuronQuant.Checkpoints;

/// <summary>How a config says that GPTQ-like integers are packed.</summary>
/// <param name="Bits">2, 4 or 8</param>
/// <param name="Group">columns that share a scale; -1 for all</param>
/// <param name="MayBeReordered">whether columns may lie in act-order (desc_act), which g_idx then tells</param>
/// <param name="ZeroIsLessOne">whether zero points are stored less one (gptq, auto_round:auto_gptq) or as they are (gptq_v2)</param>
internal sealed record Packing(int Bits, int Group, bool MayBeReordered, bool ZeroIsLessOne);

/// <summary>
/// A weight that lies in the file as GPTQ packs it (see <see cref="PackedIntegers"/>): its values are scale x (code - zero point) in float32,
/// rounded to bf16. That is a product as good as any, when every column lies in its own group; an act-order permutation is refused.
/// </summary>
internal sealed class PackedTensor : IComputedTensor
{
    private const byte SymmetricZero = 128; // Of 8 bits: 2^(b-1), so that code - zero point is an int8.

    private readonly Checkpoint _stored;
    private readonly Packing _packing;
    private readonly TensorInfo _zeros, _scales;
    private readonly TensorInfo? _index;
    private readonly int _rows, _columns, _group;
    private readonly Lazy<(float[] Scales, byte[] Zeros)> _scaling;

    private PackedTensor(Checkpoint stored, string stem, Packing packing, TensorInfo code, TensorInfo zeros, TensorInfo scales)
    {
        (_stored, _packing, Code, _zeros, _scales, _index) = (stored, packing, code, zeros, scales, stored.Find(stem + "g_idx"));
        (_rows, _columns) = ((int)code.Shape[1], checked((int)code.Shape[0] * PackedIntegers.PerWord(packing.Bits)));
        _group = packing.Group == -1 ? _columns : packing.Group;
        Values = new TensorInfo(stem + "weight", TensorType.BF16, [_rows, _columns], code.File, code.Offset, 2L * _rows * _columns);
        _scaling = new(() => (ReadScales(), ReadZeros()));
    }

    public TensorInfo Code { get; }

    public TensorInfo Values { get; }

    public IEnumerable<TensorInfo> Companions => _index is null ? [_zeros, _scales] : [_zeros, _scales, _index];

    public string Kind => $"int{_packing.Bits}, packed, with {(_group == _columns ? "a scale per channel" : $"a scale per {_group} columns")}";

    private int Groups => (_columns + _group - 1) / _group;

    /// <summary>The view of one packed weight, or why there is none. Group indexes and zero points are read.</summary>
    public static (PackedTensor? Weight, string? Obstacle) Of(Checkpoint stored, TensorInfo code, Packing packing)
    {
        string stem = code.Name[..^"qweight".Length];
        if (stored.Find(stem + "qzeros") is not { } zeros || stored.Find(stem + "scales") is not { } scales)
            return (null, "has no qzeros and scales beside its codes");
        if (code is not { Type: TensorType.I32, Shape: [> 0, > 0] } || zeros is not { Type: TensorType.I32, Shape.Length: 2 })
            return (null, "has codes and zero points that are not matrices of int32");
        if (scales.Type is not (TensorType.F16 or TensorType.BF16 or TensorType.F32)) return (null, $"has scales in {scales.Type.Name()}");
        if (code.ByteCount > int.MaxValue || code.Shape[0] > int.MaxValue / 32) return (null, "is larger than this library unpacks");
        var weight = new PackedTensor(stored, stem, packing, code, zeros, scales);
        return weight.Obstacle() is { } obstacle ? (null, obstacle) : (weight, null);
    }

    public void ReadFloats(long firstElement, Span<float> destination)
    {
        var words = PackedIntegers.Words(_stored, Code);
        var (scales, zeros) = _scaling.Value;
        for (int i = 0; i < destination.Length; i++)
        {
            var (row, column) = Math.DivRem(firstElement + i, _columns);
            int at = (int)column / _group * _rows + (int)row;
            int code = PackedIntegers.Weight(words, _rows, (int)row, (int)column, _packing.Bits);
            destination[i] = BFloat16.Round((code - zeros[at]) * scales[at]);
        }
    }

    public string? WhyNoIntegers => _packing.Bits != 8 ? $"its codes have {_packing.Bits} bits"
        : Groups > 1 ? $"a row has a scale for every {_group} columns" : null;

    public string? WhyNotOnNeuron => WhyNoIntegers
        ?? (_scaling.Value.Zeros.AsSpan().ContainsAnyExcept(SymmetricZero) ? "it has zero points, and NxDI computes scale * code"
            : _scaling.Value.Scales.Contains(0) ? "a scale is 0" : null);

    public float ReadRow(int row, Span<int> integers)
    {
        var words = PackedIntegers.Words(_stored, Code);
        var (scales, zeros) = _scaling.Value;
        for (int column = 0; column < integers.Length; column++)
            integers[column] = PackedIntegers.Weight(words, _rows, row, column, _packing.Bits) - zeros[row];
        return scales[row];
    }

    private string? Obstacle()
    {
        int perWord = PackedIntegers.PerWord(_packing.Bits);
        if (_rows % perWord != 0 || _zeros.Shape is not [var lines, var words] || lines != Groups || words != _rows / perWord)
            return $"has qzeros of shape {CheckpointException.Quote(_zeros.Shape)}, which do not fit codes of {_packing.Bits} bits in groups "
                + $"of {_packing.Group}";
        if (_scales.Shape is not [var groups, var rows] || groups != Groups || rows != _rows)
            return $"has scales of shape {CheckpointException.Quote(_scales.Shape)}, which do not fit codes of {_packing.Bits} bits in groups "
                + $"of {_packing.Group}";
        if (_index is null ? _packing.MayBeReordered && Groups > 1 : !IndexIsTrivial(_index))
            return "has columns in another order (act-order, desc_act), which no scale for neighbours undoes";
        return _packing.ZeroIsLessOne && HasWrappedZero() ? "has a zero point of 0, stored less one, which kernels read in two ways" : null;
    }

    private bool IndexIsTrivial(TensorInfo index)
    {
        if (index.Type != TensorType.I32 || index.Shape is not [var length] || length != _columns) return false;
        var groups = PackedIntegers.Words(_stored, index);
        for (int column = 0; column < _columns; column++)
            if (groups[column] != column / _group) return false;
        return true;
    }

    private bool HasWrappedZero() =>
        PackedIntegers.UnpackLine(PackedIntegers.Words(_stored, _zeros), _packing.Bits).Contains((byte)((1 << _packing.Bits) - 1));

    private float[] ReadScales()
    {
        var scales = new float[_scales.ElementCount];
        _stored.ReadFloats(_scales, 0, scales);
        if (Array.TrueForAll(scales, float.IsFinite)) return scales;
        throw new CheckpointException(CheckpointFailure.ScaleInvalid, _scales.File, _scales.Name,
            "a scale that is no number", "finite scales", "Download the checkpoint again.");
    }

    private byte[] ReadZeros()
    {
        byte[] zeros = PackedIntegers.UnpackLine(PackedIntegers.Words(_stored, _zeros), _packing.Bits);
        if (_packing.ZeroIsLessOne)
            foreach (ref byte zero in zeros.AsSpan()) zero++;
        return zeros;
    }
}
