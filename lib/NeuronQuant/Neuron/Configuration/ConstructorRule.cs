using System.Text.Json;
using System.Text.Json.Nodes;

namespace NeuronQuant.Neuron;

/// <summary>One refusal of NeuronConfig's own constructor.</summary>
/// <param name="Line">of models/config.py, SDK 2.28 (nxd-inference cd3abf3)</param>
/// <param name="Raises">the exception's type</param>
/// <param name="Option">the option at fault</param>
/// <param name="Breaks">whether a configuration is refused by this line</param>
/// <param name="Message">why</param>
/// <param name="Remedy">what to write instead</param>
internal sealed record ConstructorRule(int Line, string Raises, string Option, Func<ConstructorView, bool> Breaks, Func<ConstructorView,
    string> Message, string Remedy)
{
    /// <summary>A rule whose reason is always the same.</summary>
    public ConstructorRule(int line, string raises, string option, Func<ConstructorView, bool> breaks, string message, string remedy)
        : this(line, raises, option, breaks, _ => message, remedy)
    {
    }

    /// <summary>The finding, when the configuration breaks the rule.</summary>
    public ConfigFinding? Check(ConstructorView view) => Breaks(view)
        ? ConfigFinding.Error(Option, $"{Message(view)} The class raises {Raises} (config.py:{Line}).", Remedy) with { Raises = Raises }
        : null;
}

/// <summary>The options as the constructor sees them when it decides: with its defaults, and with what it derives from others.</summary>
/// <param name="Config">the options as given</param>
internal sealed record ConstructorView(NeuronConfig Config)
{
    private static readonly string[] Types = ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"];

    public int Tp => Config.TpDegree;
    public int Cp => Number("cp_degree", 1);
    public int Dp => Number("attention_dp_degree", 1);
    public int Batch => Config.BatchSize;
    public int TokenBatch => Number("tkg_batch_size", Batch);
    public bool FusedSpeculation => On("enable_fused_speculation") || Eagle;
    public bool Eagle => On("enable_eagle_speculation");
    public bool ChunkedPrefill => Config["chunked_prefill_config"] is not null;
    public bool QkvKernel => On("qkv_kernel_enabled") || On("qkv_nki_kernel_enabled");
    public bool BlockKernel => On("attn_block_tkg_nki_kernel_enabled");
    public int TokenKernels => new[] { "attn_tkg_nki_kernel_enabled", "attn_tkg_builtin_kernel_enabled",
        "attn_block_tkg_nki_kernel_enabled" }.Count(On);
    public bool MlpQuantized => On("quantized_mlp_kernel_enabled") || Config["activation_quantization_type"] is not null;

    /// <summary>The batches of token generation, a bare number as a list of one; null when there are none.</summary>
    public IReadOnlyList<int>? Batches => Config["token_generation_batches"] switch
    {
        null => null,
        JsonArray => Config.Integers("token_generation_batches"),
        _ => Config.Integer("token_generation_batches") is { } one ? [one] : null,
    };

    public bool On(string name) => Config.Flag(name);

    public int Number(string name, int otherwise) => Config.Integer(name) ?? otherwise;

    /// <summary>A dtype's name as the bridge hands it over: without "torch.".</summary>
    public string? Dtype(string name) => Config.Text(name)?.Replace("torch.", "", StringComparison.Ordinal);

    public bool IsUnknownDtype(string name) => Dtype(name) is { } text && !Types.Contains(text);

    public bool IsEmptyList(string name) => Config[name] is JsonArray { Count: 0 };

    /// <summary>A field of an option that is an object.</summary>
    public JsonNode? Field(string option, string name) => Config[option] is JsonObject fields ? fields[name] : null;

    public bool IsNoInteger(string name) => Config[name] is JsonValue value && value.GetValueKind() == JsonValueKind.String
        && !int.TryParse(value.GetValue<string>(), out _);
}
