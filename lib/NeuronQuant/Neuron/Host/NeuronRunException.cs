namespace NeuronQuant.Neuron;

/// <summary>Every way in which a run on Neuron can fail; one member for one cause and one remedy.</summary>
public enum NeuronFailure
{
    /// <summary>No Python interpreter was found.</summary>
    NoPython,

    /// <summary>The interpreter is too old, or did not start the bridge.</summary>
    WrongPython,

    /// <summary>NxD Inference, or a package that it needs, is not installed.</summary>
    NxdiMissing,

    /// <summary>Another release of the SDK than the configuration was checked for.</summary>
    WrongSdk,

    /// <summary>The generation adapter of SDK 2.27 or 2.28 has its fault: it uses the name tensor_capture_hook, which is defined nowhere.</summary>
    AdapterFault,

    /// <summary>Nothing says for which chip to compile, or it is another than Inferentia2.</summary>
    NoTarget,

    /// <summary>The compiler, neuronx-cc, is not installed.</summary>
    CompilerMissing,

    /// <summary>The machine has no Neuron device.</summary>
    NoDevice,

    /// <summary>Another process holds the device.</summary>
    DeviceBusy,

    /// <summary>The compiler failed; its codes are kept.</summary>
    CompileFailed,

    /// <summary>Device or host memory ran out.</summary>
    OutOfMemory,

    /// <summary>The disk is full.</summary>
    DiskFull,

    /// <summary>The checkpoint folder is not what the configuration says.</summary>
    CheckpointContradicts,

    /// <summary>The configuration has errors; nothing was started.</summary>
    ConfigRefused,

    /// <summary>The Python process ended in the middle of a call.</summary>
    PythonDied,

    /// <summary>The Python process gave no sign of life for too long, and was ended.</summary>
    PythonSilent,

    /// <summary>The function failed in another way; the traceback is kept.</summary>
    CallFailed,
}

/// <summary>A run that cannot go on: at which step, what happened, what to do.</summary>
/// <param name="failure">the cause</param>
/// <param name="step">the call: compile, load, …</param>
/// <param name="message">what was found</param>
/// <param name="remedy">what to do</param>
/// <param name="codes">codes of the compiler, such as NCC_IXCG856</param>
/// <param name="traceback">Python's traceback, or the last lines of a process that died</param>
public sealed class NeuronRunException(
    NeuronFailure failure, string step, string message, string remedy, IReadOnlyList<string>? codes = null, string traceback = "")
    : Exception($"{step}: {message.TrimEnd()} {remedy}".TrimEnd())
{
    /// <summary>The cause.</summary>
    public NeuronFailure Failure { get; } = failure;

    /// <summary>The call that failed.</summary>
    public string Step { get; } = step;

    /// <summary>What to do.</summary>
    public string Remedy { get; } = remedy;

    /// <summary>Codes of the compiler; their pages are in the Neuron documentation under compiler/error-codes.</summary>
    public IReadOnlyList<string> Codes { get; } = codes ?? [];

    /// <summary>Python's traceback, or the last lines of a process that died.</summary>
    public string Traceback { get; } = traceback;
}
