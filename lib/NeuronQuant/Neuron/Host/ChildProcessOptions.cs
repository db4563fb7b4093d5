namespace NeuronQuant.Neuron;

/// <summary>How a child process is started and watched.</summary>
/// <param name="Interpreter">a program or an environment; null to look for one, see <see cref="PythonInterpreter"/></param>
/// <param name="Environment">variables that it starts with, which is before torch_xla could load</param>
/// <param name="BridgeFolder">the folder that holds neuron_bridge; beside the library when null</param>
/// <param name="ModulePath">further folders for Python's imports, searched first</param>
/// <param name="Silence">longest time without a sign of life. The bridge beats every second, but native code that holds Python's lock stops it for
/// as long as it runs: tracing a large model can take minutes</param>
/// <param name="Patience">longest time until the first answer; a minute when null</param>
public sealed record ChildProcessOptions(
    string? Interpreter = null, IReadOnlyDictionary<string, string>? Environment = null, string? BridgeFolder = null,
        IReadOnlyList<string>? ModulePath = null,
    TimeSpan? Silence = null, TimeSpan? Patience = null);
