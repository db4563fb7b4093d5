namespace NeuronQuant.Checkpoints;

/// <summary>A weight that a checkpoint computes from what is stored.</summary>
internal interface IComputedTensor
{
    /// <summary>The codes in the file.</summary>
    TensorInfo Code { get; }

    /// <summary>The weight as it is read, in bf16.</summary>
    TensorInfo Values { get; }

    /// <summary>The tensors beside the codes from which the weight is computed.</summary>
    IEnumerable<TensorInfo> Companions { get; }

    /// <summary>What was stored, in words: fp8 with block scales.</summary>
    string Kind { get; }

    /// <summary>Values from firstElement on, in C order: as many as the destination is long.</summary>
    void ReadFloats(long firstElement, Span<float> destination);
}
