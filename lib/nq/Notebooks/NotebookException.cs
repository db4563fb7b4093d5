namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>A notebook that cannot be read, or a cell that cannot be run; the message says which and what to do.</summary>
public sealed class NotebookException(string message, Exception? inner = null) : Exception(message, inner);
