using System.Text.Json;
using System.Text.Json.Nodes;

namespace NeuronQuant.Neuron;

/// <summary>
/// Everything about a run on Neuron that decides whether it is right, besides the weights: the options, the class that is loaded, the
/// environment that Python starts with, the instance, the release.
/// </summary>
/// <remarks>
/// A file is either the options alone, as NeuronConfig takes them, or an object with the options under "neuron_config" and, each optional,
/// "model_class", "environment", "instance" and "sdk". Without "environment" the variables of this process count.
/// </remarks>
/// <param name="Config">the options</param>
/// <param name="ModelClass">the class that compiles and loads; NeuronLlamaForCausalLM</param>
/// <param name="Environment">the variables that Python starts with</param>
/// <param name="Instance">the instance type; null when not said</param>
/// <param name="Sdk">the release</param>
public sealed record NeuronSetup(NeuronConfig Config, string ModelClass, IReadOnlyDictionary<string, string> Environment, string? Instance,
    NeuronSdk Sdk)
{
    private const long LargestFile = 1_000_000;
    private static readonly string[] Fields = ["neuron_config", "model_class", "environment", "instance", "sdk"];

    /// <summary>The class that loads Llama, Mistral and Mistral-Nemo alike.</summary>
    public const string LlamaClass = "NeuronLlamaForCausalLM";

    /// <summary>A set-up with what a configuration needs around it.</summary>
    public static NeuronSetup Of(NeuronConfig config, string? instance = null, NeuronSdk? sdk = null) =>
        new(config, LlamaClass, config.RequiredEnvironment, instance, sdk ?? NeuronSdk.Pinned);

    /// <summary>Reads CONFIG.json.</summary>
    /// <param name="path">the file</param>
    /// <param name="sdk">the release to judge by, in place of the file's</param>
    /// <exception cref="NeuronException">the file cannot be read or is not such an object</exception>
    public static NeuronSetup Read(string path, NeuronSdk? sdk = null)
    {
        var root = Parse(path);
        if (!root.ContainsKey("neuron_config")) return new NeuronSetup(NeuronConfig.Of(root), LlamaClass, OfProcess(), null, sdk ?? NeuronSdk.Pinned);
        foreach (string name in root.Select(field => field.Key).Where(name => !Fields.Contains(name)))
            throw new NeuronException(path, $"has the field '{name}' beside neuron_config; expected are {string.Join(", ", Fields)}. If this is "
                + "the neuron_config.json of a compiled model, give its inner neuron_config object alone.");
        if (root["neuron_config"] is not JsonObject options)
            throw new NeuronException(path, "neuron_config is not an object of options. Write {\"tp_degree\": 2, …}.");
        return new NeuronSetup(NeuronConfig.Of(options), Text(path, root, "model_class") ?? LlamaClass,
            root.ContainsKey("environment") ? Variables(path, root["environment"]) : OfProcess(),
            Text(path, root, "instance"), sdk ?? (Text(path, root, "sdk") is { } release ? NeuronSdk.Parse(release) : NeuronSdk.Pinned));
    }

    private static JsonObject Parse(string path)
    {
        try
        {
            if (!File.Exists(path)) throw new NeuronException(path, "no such file. Give a JSON file with the options of NeuronConfig.");
            if (new FileInfo(path).Length > LargestFile)
                throw new NeuronException(path,
                $"is larger than {LargestFile} bytes; a configuration has a few hundred. Check that it is the right file.");
            return JsonNode.Parse(File.ReadAllText(path), documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false }) as JsonObject
                ?? throw new NeuronException(path, "is not a JSON object. Write the options as {\"quantized\": true, …}.");
        }
        catch (JsonException error)
        {
            throw new NeuronException(path,
                $"is not JSON ({error.Message}). Python's True, None and trailing commas are not JSON; each name may occur once.", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new NeuronException(path, $"cannot be read ({error.Message}). Check the permissions.", error);
        }
    }

    private static string? Text(string path, JsonObject root, string name) => root[name] switch
    {
        null => null,
        JsonValue value when value.TryGetValue(out string? text) => text,
        _ => throw new NeuronException(path, $"{name} is not a string."),
    };

    private static Dictionary<string, string> Variables(string path, JsonNode? node)
    {
        if (node is null) return [];
        if (node is not JsonObject variables)
            throw new NeuronException(path, "environment is not an object of strings. Write {\"XLA_HANDLE_SPECIAL_SCALAR\": \"1\"}.");
        return variables.ToDictionary(pair => pair.Key, pair => pair.Value is JsonValue value && value.TryGetValue(out string? text)
            ? text : throw new NeuronException(path, $"environment.{pair.Key} is not a string; variables are text. Write \"1\"."));
    }

    private static Dictionary<string, string> OfProcess() => System.Environment.GetEnvironmentVariables().Cast<System.Collections.DictionaryEntry>()
        .ToDictionary(entry => (string)entry.Key, entry => (string?)entry.Value ?? "");
}
