namespace NeuronQuant.Neuron;

/// <summary>
/// For which chip a host without one builds. NxD asks the driver which chip is there (torch_neuronx get_platform_target); without a device
/// that fails, unless this variable answers in its place (aws-neuron-sdk issue 1303 compiles so).
/// </summary>
internal static class HostTarget
{
    /// <summary>The variable that torch_neuronx reads.</summary>
    public const string Variable = "NEURON_PLATFORM_TARGET_OVERRIDE";

    /// <summary>The chip of this workbook.</summary>
    public const string Inf2 = "inf2";

    /// <summary>Whether a Neuron device of this machine could answer.</summary>
    public static bool HasDevice => Directory.Exists("/dev")
        && Directory.EnumerateFileSystemEntries("/dev", "neuron*").Any(path => char.IsAsciiDigit(path[^1]));

    /// <summary>Variables with the target added, where there is no device and none was named.</summary>
    public static IReadOnlyDictionary<string, string>? WithoutDevice(IReadOnlyDictionary<string, string>? variables)
    {
        if (HasDevice || Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } || variables?.ContainsKey(Variable) == true)
            return variables;
        return new Dictionary<string, string>(variables ?? new Dictionary<string, string>()) { [Variable] = Inf2 };
    }
}
