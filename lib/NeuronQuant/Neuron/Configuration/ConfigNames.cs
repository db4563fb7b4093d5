using System.Text.Json;
using System.Text.Json.Nodes;

namespace NeuronQuant.Neuron;

/// <summary>
/// Names and types. NeuronConfig logs what it does not know and goes on (models/config.py:604-605 at SDK 2.28), and compares quantized with "is True"
/// (:218, models/model_wrapper.py:150), so that 1 is neither true nor an error.
/// </summary>
internal static class ConfigNames
{
    private static readonly string[] Counts = ["tp_degree", "batch_size", "seq_len", "max_context_length", "max_length", "max_batch_size",
        "ctx_batch_size", "tkg_batch_size"];

    public static IEnumerable<ConfigFinding> Check(NeuronConfig config)
    {
        foreach (string name in config.Names)
        {
            if (ConfigOptions.KindOf(name) is not { } kind) yield return Unknown(name, ConfigOptions.Names);
            else if (config[name] is { } value && WrongType(name, kind, value) is { } finding) yield return finding;
            else if (name is "logical_neuron_cores") yield return ConfigFinding.Warning(name,
                "is the old name of logical_nc_config and only still understood.", "Write logical_nc_config, or leave it out: it is 1 on Inf2.");
        }
        foreach (string name in Counts.Where(name => config.Integer(name) < 1))
            yield return ConfigFinding.Error(name, $"is {config.Integer(name)}.", "Give at least 1.");
        if (config["overrides_torch_dtype"] is not null && config["torch_dtype"] is null)
            yield return ConfigFinding.Error("overrides_torch_dtype",
                "is read beside torch_dtype alone (config.py:113); without it, it is logged and ignored.", "Give torch_dtype, or remove it.");
        foreach (var finding in Nested(config, "on_device_sampling_config", ConfigOptions.SamplingFields)) yield return finding;
        foreach (var finding in Nested(config, "kv_quant_config", ConfigOptions.KvQuantFields)) yield return finding;
    }

    private static IEnumerable<ConfigFinding> Nested(NeuronConfig config, string option, IReadOnlyList<string> known) =>
        config[option] is not JsonObject fields ? [] : fields.Select(field => field.Key).Where(name => !known.Contains(name))
            .Select(name => Unknown($"{option}.{name}", known));

    private static ConfigFinding Unknown(string name, IEnumerable<string> known) => ConfigOptions.OfSubclasses.Contains(name)
        ? ConfigFinding.Error(name,
        "belongs to NeuronConfig's subclass for another kind of model (config.py:747-805); for a Llama it is logged and ignored.", "Remove it.")
        : ConfigFinding.Error(name, "NxDI does not know the option; it logs a line and ignores it.",
            ConfigOptions.Nearest(name[(name.IndexOf('.', StringComparison.Ordinal) + 1)..], known) is { } near ? $"Did you mean {near}?"
                : "Remove it.");

    private static ConfigFinding? WrongType(string name, OptionKind kind, JsonNode value)
    {
        var found = value.GetValueKind();
        bool right = kind switch
        {
            OptionKind.Flag => found is JsonValueKind.True or JsonValueKind.False,
            OptionKind.Integer => int.TryParse(value.ToJsonString(), out _),
            OptionKind.Number => found == JsonValueKind.Number,
            OptionKind.Text => found == JsonValueKind.String,
            OptionKind.Texts => value is JsonArray texts && texts.All(item => item?.GetValueKind() == JsonValueKind.String),
            OptionKind.Integers => (value is JsonArray numbers && numbers.All(item => item is not null && int.TryParse(item.ToJsonString(), out _)))
                || (name == "token_generation_batches" && int.TryParse(value.ToJsonString(), out _)), // wrapped into a list: config.py:206 at 2.28
            OptionKind.Object => found == JsonValueKind.Object,
            _ => true,
        };
        if (right) return null;
        string shown = value.ToJsonString() is { Length: > 60 } text ? text[..60] + "…" : value.ToJsonString();
        return kind == OptionKind.Flag
            ? ConfigFinding.Error(name, $"is {shown}, not a truth value; NxDI compares with \"is True\", so it counts as neither.",
            "Write true or false (True or False in Python).")
            : ConfigFinding.Error(name, $"is {shown}.", $"Give {Wanted(kind)}.");
    }

    private static string Wanted(OptionKind kind) => kind switch
    {
        OptionKind.Integer => "a whole number",
        OptionKind.Number => "a number",
        OptionKind.Text => "a string",
        OptionKind.Texts => "a list of strings",
        OptionKind.Integers => "a list of whole numbers",
        _ => "an object",
    };
}
