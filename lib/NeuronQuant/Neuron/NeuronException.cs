namespace NeuronQuant.Neuron;

/// <summary>A configuration or a plan that cannot be; the message names the option and the remedy.</summary>
/// <param name="where">the option, file or argument at fault</param>
/// <param name="message">what was found, what was expected, what to do</param>
/// <param name="inner">the cause, when another error was it</param>
public sealed class NeuronException(string where, string message, Exception? inner = null) : Exception($"{where}: {message}", inner)
{
    /// <summary>The option, file or argument at fault.</summary>
    public string Where { get; } = where;
}
