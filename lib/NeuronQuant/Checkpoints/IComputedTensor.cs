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

    /// <summary>Why the codes cannot be held one by one against int8 codes with one scale a row, in words; null when they can.</summary>
    string? WhyNoIntegers { get; }

    /// <summary>Why NxDI cannot hold the codes as they are, int8 with one scale a row and no zero point, in words; null when it can.</summary>
    string? WhyNotOnNeuron { get; }

    /// <summary>
    /// code - zero point of one row, and returns its scale in float32, to which BF16 and F16 widen exactly. Only where codes can be compared.
    /// </summary>
    /// <param name="row">output channel</param>
    /// <param name="integers">as many as there are columns</param>
    float ReadRow(int row, Span<int> integers);
}
