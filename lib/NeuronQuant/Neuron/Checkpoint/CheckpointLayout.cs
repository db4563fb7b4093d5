namespace NeuronQuant.Neuron;

/// <summary>What a written folder holds, and so who rounds last.</summary>
public enum CheckpointLayout
{
    /// <summary>8-bit codes and float32 scales, the folder that <c>quantized_checkpoints_path</c> points at; NxDI loads it as it is.</summary>
    Nxd,

    /// <summary>A Hugging Face folder of fake-quantized bf16 weights; NxDI quantizes it once more when it loads.</summary>
    Fake,
}
