namespace NeuronQuant.Tensors;

/// <summary>Torch cannot do here what was asked: its library, device, type, shape or memory; what was found, what to do.</summary>
/// <param name="module">what is at fault: libtorch, device, dtype, or torch for what it says itself</param>
/// <param name="message">what was found, what to do</param>
/// <param name="cause">what the library below said</param>
public sealed class TorchException(string module, string message, Exception? cause = null) : Exception($"{module}: {message}", cause);
