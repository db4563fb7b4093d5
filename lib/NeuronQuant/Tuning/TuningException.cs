namespace NeuronQuant.Tuning;

/// <summary>A tuning that cannot be done or continued: which module or file, what was found and expected, what to do.</summary>
/// <param name="module">the module, file or argument at fault</param>
/// <param name="message">what was found, what was expected, what to do</param>
public sealed class TuningException(string module, string message) : Exception($"{module}: {message}")
{
    /// <summary>The module, file or argument at fault.</summary>
    public string Module { get; } = module;
}
