using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;

namespace NeuronQuant.Neuron;

/// <summary>What stands between a set-up and an open model: the configuration, the machine, the variables, the target. Each has its own error.</summary>
internal static class SessionStart
{
    /// <summary>Refuses a configuration that is known to go wrong, before Python is asked.</summary>
    public static void Refuse(NeuronSetup setup, string modelPath)
    {
        var report = NeuronConfigCheck.Run(setup with { Environment = Merged(setup) }, ModelConfig.Read(Path.Combine(modelPath, "config.json")));
        if (!report.Passed)
            throw new NeuronRunException(NeuronFailure.ConfigRefused, "check",
                $"the configuration has {report.Errors.Count()} errors, the first: {report.Errors.First()}",
                "Correct it; nq neuron check lists all of them.");
    }

    /// <summary>Refuses a Python without NxD Inference, or with another release than the configuration was checked for.</summary>
    public static void CheckMachine(NeuronSetup setup, NeuronEnvironment environment)
    {
        if (!environment.HasNxdi)
            throw new NeuronRunException(NeuronFailure.NxdiMissing, "environment", "neuronx_distributed_inference is not installed in "
                + $"{environment.Executable} (Python "
                + $"{environment.Python}{(TooNew(environment.Python) ? "; its packages are for 3.10 to 3.12" : "")}).",
                "Create the environment of environment.yml, or name the Neuron image's interpreter with NEURON_PYTHON or the host's option.");
        if (environment.Sdk is { } found && found != $"{setup.Sdk}")
            throw new NeuronRunException(NeuronFailure.WrongSdk, "environment",
                $"SDK {found} is installed, but the configuration was checked for {setup.Sdk}.",
                $"Install {setup.Sdk}, or check the configuration with --sdk {found}.");
    }

    private static bool TooNew(string python) => Version.TryParse(python, out var version) && version >= new Version(3, 13);

    // What the configuration needs is set in any case; what the set-up says beyond that comes along.
    private static Dictionary<string, string> Merged(NeuronSetup setup) => new(setup.Environment.Concat(setup.Config.RequiredEnvironment)
        .GroupBy(pair => pair.Key).Select(group => KeyValuePair.Create(group.Key, group.Last().Value)));

    /// <summary>The variables that Python starts with, and the target where there is no device to tell it.</summary>
    public static JsonObject Variables(NeuronSetup setup, NeuronEnvironment environment)
    {
        var variables = Merged(setup).Where(pair => pair.Key.StartsWith("NEURON", StringComparison.Ordinal)
            || pair.Key.StartsWith("XLA", StringComparison.Ordinal)
            || setup.Config.RequiredEnvironment.ContainsKey(pair.Key)).ToDictionary();
        if (environment.Devices.Count == 0 && environment.Variables?.ContainsKey(HostTarget.Variable) != true)
            variables.TryAdd(HostTarget.Variable, HostTarget.Inf2);
        return new JsonObject(variables.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)JsonValue.Create(pair.Value))));
    }

    /// <summary>The chip that is compiled for.</summary>
    /// <exception cref="NeuronRunException">there is no device, and the variable names another chip than Inferentia2</exception>
    /// <remarks>With a device the chip is what it is. Without one the variable decides, and another chip's graph would not load on Inf2.</remarks>
    public static string Chip(NeuronEnvironment environment, JsonNode answer)
    {
        string target = (string)answer["target"]!;
        if (environment.Devices.Count > 0 || target == HostTarget.Inf2) return target;
        throw new NeuronRunException(NeuronFailure.NoTarget, "target",
            $"{HostTarget.Variable} says '{target}': the graph would not load on Inferentia2.",
            $"Set {HostTarget.Variable}={HostTarget.Inf2}, or leave it out.");
    }
}
