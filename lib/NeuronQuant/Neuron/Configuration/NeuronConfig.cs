using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.Neuron;

/// <summary>
/// The keyword arguments of NxDI's NeuronConfig, under NxDI's own names. What was given is kept as it was given, wrong types included, so
/// that <see cref="NeuronConfigCheck"/> can say what is wrong; the properties read the options that this workbook reasons about, with
/// NxDI's defaults.
/// </summary>
/// <remarks>
/// Immutable: <see cref="With"/> makes a copy. A property of an option that has the wrong type gives the default; the check reports it.
/// Defaults: nxd-inference models/config.py (SDK 2.28), the lines are in the facts of each check.
/// </remarks>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed class NeuronConfig
{
    private readonly JsonObject _options;

    private NeuronConfig(JsonObject options) => _options = options;

    /// <summary>The names that were given, in order.</summary>
    public IEnumerable<string> Names => _options.Select(option => option.Key);

    /// <summary>quantized: the graph expects codes and scales. Only the JSON value true counts, as in NxDI.</summary>
    public bool Quantized => Flag("quantized");

    /// <summary>quantized_checkpoints_path: the folder with codes and scales.</summary>
    public string? QuantizedCheckpointsPath => Text("quantized_checkpoints_path");

    /// <summary>quantization_dtype: int8, f8e4m3 or f8e5m2.</summary>
    public string QuantizationDtype => Text("quantization_dtype") ?? "int8";

    /// <summary>quantization_type; NxDI's default is one scale a tensor.</summary>
    public string QuantizationType => Text("quantization_type") ?? "per_tensor_symmetric";

    /// <summary>modules_to_not_convert; an empty list is none, as in NxDI.</summary>
    public IReadOnlyList<string> ModulesToNotConvert => Texts("modules_to_not_convert");

    /// <summary>kv_cache_quant: until SDK 2.27 an fp8 cache, since 2.28 only a compiler flag.</summary>
    public bool KvCacheQuant => Flag("kv_cache_quant");

    /// <summary>kv_quant_config: an fp8 cache since SDK 2.28; an empty object is a plain cast.</summary>
    public bool HasKvQuantConfig => _options["kv_quant_config"] is JsonObject;

    /// <summary>fused_qkv.</summary>
    public bool FusedQkv => Flag("fused_qkv");

    /// <summary>on_cpu.</summary>
    public bool OnCpu => Flag("on_cpu");

    /// <summary>tp_degree: over how many NeuronCores a layer is split.</summary>
    public int TpDegree => Integer("tp_degree") ?? 1;

    /// <summary>batch_size: sequences at once.</summary>
    public int BatchSize => Integer("batch_size") ?? 1;

    /// <summary>seq_len: tokens of prompt and answer together.</summary>
    public int SequenceLength => Integer("seq_len") ?? 128;

    /// <summary>max_context_length: tokens of a prompt at most.</summary>
    public int MaxContextLength => Integer("max_context_length") ?? SequenceLength;

    /// <summary>max_length: tokens of a sequence at most.</summary>
    public int MaxLength => Integer("max_length") ?? SequenceLength;

    /// <summary>The value of an option as it was given; null when it was not, or is null.</summary>
    public JsonNode? this[string name] => _options[name]?.DeepClone();

    /// <summary>A configuration for a folder that this library wrote: quantized with the folder's own dtype, type and exclusions.</summary>
    /// <param name="record">the folder's record</param>
    /// <param name="folder">the folder, as Python will find it</param>
    public static NeuronConfig For(QuantizationRecord record, string folder) =>
        For(record.QuantizationDtype, record.QuantizationType, record.ModulesToNotConvert, folder);

    /// <summary>The same, by the record that lies in the folder.</summary>
    /// <exception cref="NeuronException">the folder has no record, so that nothing says how its codes are meant</exception>
    public static NeuronConfig For(string folder) => For(QuantizationRecord.Read(folder) ?? throw new NeuronException("quantized_checkpoints_path",
        $"'{folder}' has no {QuantizationRecord.FileName}. Write it with nq quantize --layout nxd, or make the configuration by hand."), folder);

    /// <summary>A configuration in bf16, to start from.</summary>
    public static NeuronConfig Unquantized() => new NeuronConfig([]).With("torch_dtype", "bfloat16");

    /// <summary>Takes the options of a JSON object, whatever they are.</summary>
    public static NeuronConfig Of(JsonObject options) => new((JsonObject)options.DeepClone());

    /// <summary>A copy with one option more, or changed.</summary>
    public NeuronConfig With(string name, JsonNode? value)
    {
        var options = (JsonObject)_options.DeepClone();
        options[name] = value?.DeepClone();
        return new NeuronConfig(options);
    }

    /// <summary>A copy with an fp8 cache, in the way that the release understands.</summary>
    public NeuronConfig WithFp8Cache(NeuronSdk sdk) =>
        sdk.CacheReadsKvQuantConfig ? With("kv_cache_quant", true).With("kv_quant_config", new JsonObject()) : With("kv_cache_quant", true);

    /// <summary>True when the cache is really fp8 in this release.</summary>
    public bool CacheIsFp8(NeuronSdk sdk) => sdk.CacheReadsKvQuantConfig ? HasKvQuantConfig : KvCacheQuant;

    /// <summary>The environment variables without which fp8 codes are read wrongly; they must be set before torch_xla loads.</summary>
    /// <remarks>inference_demo.py:465-467 at SDK 2.28 sets both, under this condition; the Python API sets none.</remarks>
    public IReadOnlyDictionary<string, string> RequiredEnvironment =>
        (Quantized && QuantizationDtype == "f8e4m3") || KvCacheQuant || HasKvQuantConfig
            ? new Dictionary<string, string> { ["XLA_HANDLE_SPECIAL_SCALAR"] = "1", ["UNSAFE_FP8FNCAST"] = "1" } : [];

    /// <summary>The options as one JSON object.</summary>
    public JsonObject ToJsonObject() => (JsonObject)_options.DeepClone();

    /// <summary>The options as indented JSON.</summary>
    public string ToJson() => _options.ToJsonString(ConfigJson.Indented);

    /// <summary>The call in Python, one option a line; torch_dtype becomes a torch.dtype.</summary>
    public string ToPython()
    {
        var text = new StringBuilder("NeuronConfig(\n");
        foreach (var (name, value) in _options) text.Append("    ").Append(name).Append('=').Append(Python(name, value)).Append(",\n");
        return text.Append(')').ToString();
    }

    /// <summary>The options as a table.</summary>
    public DataFrame ToDataFrame() => Frames.From("NeuronConfig", _options, ("option", option => option.Key),
        ("value", option => Python(option.Key, option.Value)));

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The call in Python.</summary>
    public override string ToString() => ToPython();

    internal static NeuronConfig For(string dtype, string type, IReadOnlyList<string> entries, string folder)
    {
        var config = new NeuronConfig([]).With("quantized", true).With("quantized_checkpoints_path", folder).With("quantization_dtype", dtype)
            .With("quantization_type", type);
        return entries.Count == 0 ? config : config.With("modules_to_not_convert",
            new JsonArray([.. entries.Select(entry => JsonValue.Create(entry))]));
    }

    internal string? Text(string name) => _options[name] is JsonValue value && value.TryGetValue(out string? text) ? text : null;

    internal bool Flag(string name) => _options[name] is JsonValue value && value.GetValueKind() == JsonValueKind.True;

    internal int? Integer(string name) => _options[name] is JsonValue value
        && int.TryParse(value.ToJsonString(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) ? number : null;

    internal IReadOnlyList<string> Texts(string name) => _options[name] is not JsonArray array ? []
        : [.. array.OfType<JsonValue>().Select(item => item.TryGetValue(out string? text) ? text : null).OfType<string>()];

    internal IReadOnlyList<int> Integers(string name) => _options[name] is not JsonArray array ? []
        : [.. array.OfType<JsonValue>().Where(item => item.GetValueKind() == JsonValueKind.Number).Select(item =>
        item.TryGetValue(out int number) ? number : 0)];

    private static string Python(string name, JsonNode? value) => value?.GetValueKind() switch
    {
        null or JsonValueKind.Null => "None",
        JsonValueKind.True => "True",
        JsonValueKind.False => "False",
        JsonValueKind.String when name == "torch_dtype" => $"torch.{value.GetValue<string>().Replace("torch.", "", StringComparison.Ordinal)}",
        JsonValueKind.Array => $"[{string.Join(", ", value.AsArray().Select(item => Python("", item)))}]",
        JsonValueKind.Object =>
            $"{{{string.Join(", ", value.AsObject().Select(pair => $"{Python("", JsonValue.Create(pair.Key))}: {Python("", pair.Value)}"))}}}",
        _ => value.ToJsonString(), // JSON's strings and numbers are Python's too.
    };
}
