namespace NeuronQuant.Quantization;

/// <summary>A weight or a plan that cannot be quantized; the message names the module and the remedy.</summary>
/// <param name="module">the module, or the entry of an exclusion list, at fault</param>
/// <param name="message">what was found, what was expected, what to do</param>
public sealed class QuantizationException(string module, string message) : Exception($"{module}: {message}")
{
    /// <summary>The module, or the entry of an exclusion list, at fault.</summary>
    public string Module { get; } = module;
}
