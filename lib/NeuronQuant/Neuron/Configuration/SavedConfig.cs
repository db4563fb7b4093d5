using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace NeuronQuant.Neuron;

/// <summary>
/// neuron_config.json as NxDI itself saves it beside a compiled graph: every field of the object, those that it derived included, with Python's
/// Infinity in it (quantize_clamp_bound, models/config.py:516 in SDK 2.28). It says what a graph was compiled with, which is all that can be
/// known of a graph: a folder of weights with other exclusions would be read wrongly by it, without a word.
/// </summary>
/// <remarks>Saving: models/config.py:886-903 in SDK 2.28 (cd3abf3). quantized_checkpoints_path is not compared: weights may move, a graph has none
/// in it.</remarks>
public static partial class SavedConfig
{
    private const string FileName = "neuron_config.json";

    /// <summary>The options with which a folder was compiled; fields that NxDI derives, and infinities, which are defaults, are left out.</summary>
    /// <param name="compiled">the compiled folder</param>
    /// <exception cref="NeuronException">there is no such file, or it is no configuration that NxDI saves</exception>
    public static NeuronConfig Read(string compiled)
    {
        string path = Path.Combine(compiled, FileName);
        if (!File.Exists(path)) throw new NeuronException(path, "no such file. Give the folder that model.compile(path) made.");
        try
        {
            var options = (JsonNode.Parse(Infinity().Replace(File.ReadAllText(path), "null")) as JsonObject)?["neuron_config"] as JsonObject
                ?? throw new NeuronException(path, "has no object neuron_config. Give the folder that model.compile(path) made.");
            return NeuronConfig.Of(new JsonObject(options.Where(field => field.Value is not null && ConfigOptions.KindOf(field.Key) is not null)
                .Select(field => KeyValuePair.Create(field.Key, field.Value?.DeepClone()))));
        }
        catch (JsonException error)
        {
            throw new NeuronException(path, $"is not JSON ({error.Message}). Compile again.", error);
        }
    }

    /// <summary>Where the options differ from those of the graph, each an error: the graph would do something else than they say.</summary>
    /// <param name="config">the options at hand</param>
    /// <param name="compiled">the compiled folder</param>
    public static IEnumerable<ConfigFinding> Compare(NeuronConfig config, string compiled)
    {
        var saved = Read(compiled);
        if (!saved.ModulesToNotConvert.ToHashSet().SetEquals(config.ModulesToNotConvert))
            yield return ConfigFinding.Error("modules_to_not_convert",
                $"the graph was compiled with other exclusions: [{string.Join(", ", saved.ModulesToNotConvert)}].",
                "Compile again, or use that list.");
        foreach (string name in config.Names.Union(["quantized", "quantization_dtype", "quantization_type"]).Where(name =>
            name is not ("modules_to_not_convert" or "quantized_checkpoints_path")))
        {
            var (ours, theirs) = (Shown(config, name), Shown(saved, name));
            if (ours != theirs && ConfigOptions.KindOf(name) is not null)
                yield return ConfigFinding.Error(name, $"is {ours}, and the graph was compiled with {theirs}.", "Compile again, or use that value.");
        }
    }

    // NxDI fills in nested objects, so of those only presence is compared.
    private static string Shown(NeuronConfig config, string name) => name switch
    {
        "quantized" => config.Quantized ? "true" : "false",
        "quantization_dtype" => config.QuantizationDtype,
        "quantization_type" => config.QuantizationType,
        _ when config[name] is JsonObject => "set",
        _ => config.Text(name)?.Replace("torch.", "", StringComparison.Ordinal) ?? config[name]?.ToJsonString() ?? "not set",
    };

    [GeneratedRegex(@"(?<=^\s*""[^""]*"":\s*)-?Infinity(?=,?\s*$)", RegexOptions.Multiline)]
    private static partial Regex Infinity();
}
