namespace NeuronQuant.CommandLine;

/// <summary>The command was asked for something that does not exist or cannot be: exit code 2, message only.</summary>
public sealed class UsageException(string message) : Exception(message);
