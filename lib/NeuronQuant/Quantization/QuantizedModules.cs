using NeuronQuant.Checkpoints;

namespace NeuronQuant.Quantization;

/// <summary>In what, where and from what codes were computed: what must agree for the same integers to come out again on the same machine.</summary>
/// <param name="Dtype">type of the weights in the computation, such as bfloat16</param>
/// <param name="Device">cpu, or a GPU by its number</param>
/// <param name="Threads">that one operation might use; the integers do not depend on them, the time does</param>
/// <param name="Calibration">where the texts came from</param>
/// <param name="Seed">of everything that was drawn; null where nothing was</param>
public sealed record Computation(string Dtype, string Device, int Threads, string Calibration, ulong? Seed = null);

/// <summary>Codes and scales that were chosen by something better than rounding to nearest: what a writer takes instead of quantizing.</summary>
/// <param name="Method">how they were chosen: autoround, gptq, awq</param>
/// <param name="Weights">codes and scales of each module; a planned module that is not here is rounded to nearest</param>
public sealed record QuantizedModules(string Method, IReadOnlyDictionary<ModuleName, QuantizedWeight> Weights)
{
    /// <summary>No changed tensor.</summary>
    public static IReadOnlyDictionary<string, float[]> NoFloats { get; } = new Dictionary<string, float[]>();

    /// <summary>How they were computed; null where the caller does not say.</summary>
    public Computation? Computation { get; init; }

    /// <summary>Weights of all modules together.</summary>
    public long Count => Weights.Values.Sum(weight => (long)weight.Codes.Length);

    /// <summary>
    /// Values of tensors that stay in floating point and are not the source's, such as the gain of a norm whose inverse went into the codes: by
    /// Hugging Face's name, in C order. An lm_head.weight that a tied source does not have unties it.
    /// </summary>
    public IReadOnlyDictionary<string, float[]> Floats { get; init; } = NoFloats;
}
