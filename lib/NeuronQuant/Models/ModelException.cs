namespace NeuronQuant.Models;

/// <summary>A model that cannot be computed, trained or decoded as asked: which module, what was found and expected, what to do.</summary>
/// <param name="module">the module or argument at fault</param>
/// <param name="message">what was found, what was expected, what to do</param>
/// <param name="cause">what the library below said</param>
public sealed class ModelException(string module, string message, Exception? cause = null) : Exception($"{module}: {message}", cause)
{
    /// <summary>The module or argument at fault.</summary>
    public string Module { get; } = module;
}
