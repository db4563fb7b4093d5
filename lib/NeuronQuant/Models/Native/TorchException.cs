namespace NeuronQuant.Models;

/// <summary>Torch's native library cannot be used on this machine: what is missing, and what to do.</summary>
public sealed class TorchException(string message, Exception? cause = null) : Exception(message, cause);
