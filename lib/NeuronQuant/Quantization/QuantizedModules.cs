using NeuronQuant.Checkpoints;

namespace NeuronQuant.Quantization;

/// <summary>Codes and scales that were chosen by something better than rounding to nearest: what a writer takes instead of quantizing.</summary>
/// <param name="Method">how they were chosen: autoround, gptq, gram</param>
/// <param name="Weights">codes and scales of each module; a planned module that is not here is rounded to nearest</param>
public sealed record QuantizedModules(string Method, IReadOnlyDictionary<ModuleName, QuantizedWeight> Weights)
{
    /// <summary>Weights of all modules together.</summary>
    public long Count => Weights.Values.Sum(weight => (long)weight.Codes.Length);
}
