using System.Text;
using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;

namespace NeuronQuant.Neuron;

/// <summary>What to serve.</summary>
/// <param name="Setup">the configuration of the run</param>
/// <param name="ModelPath">the model's folder, as the server will find it</param>
/// <param name="CompiledPath">a folder compiled through the Python API; null to let the plugin compile</param>
/// <param name="Port">where the server listens</param>
public sealed record ServingRequest(NeuronSetup Setup, string ModelPath, string? CompiledPath = null, int Port = 8000);

/// <summary>
/// The exact command that serves a model through vLLM's Neuron plugin (vLLM 0.13 with plugin 0.4.1 on SDK 2.28), and what that plugin cannot
/// do. Grading then goes through the endpoint: nq eval --endpoint.
/// </summary>
/// <remarks>
/// Sources, lines of the main branch as it was read in 2026: vllm-neuron worker/neuronx_distributed_model_loader.py:689 (the key
/// override_neuron_config, with underscores, although the guide
/// prints dashes), :196-241 (NEURON_COMPILED_ARTIFACTS; otherwise it always calls save_quantized_state_dict), :725-783 (its defaults);
/// vllm-user-guide-v1.rst:479 (no --quantization neuron_quant).
/// </remarks>
public sealed record VllmServing
{
    // What the plugin takes from vLLM's own arguments.
    private static readonly string[] FromCommand = ["tp_degree", "batch_size", "max_batch_size", "seq_len", "max_length", "torch_dtype",
        "on_device_sampling_config"];

    private VllmServing()
    {
    }

    /// <summary>What was asked.</summary>
    public required ServingRequest Request { get; init; }

    /// <summary>Variables to export first.</summary>
    public required IReadOnlyDictionary<string, string> Environment { get; init; }

    /// <summary>The value of --additional-config; null with a compiled folder, which ignores it.</summary>
    public required JsonObject? AdditionalConfig { get; init; }

    /// <summary>What speaks against it.</summary>
    public required IReadOnlyList<ConfigFinding> Findings { get; init; }

    /// <summary>The options to compile with through the Python API, so that the plugin can load the result: its own defaults added.</summary>
    public required NeuronConfig CompileWith { get; init; }

    /// <summary>What is always true of this plugin.</summary>
    public static IReadOnlyList<string> Limits { get; } =
    [
        "vLLM 0.13.0 and vllm-neuron 0.4.1 belong to SDK 2.28; the successor serves Trn2 and newer only and has no int8.",
        "Without NEURON_COMPILED_ARTIFACTS the plugin quantizes the model itself and overwrites quantized_checkpoints_path.",
        "The key is override_neuron_config, with underscores; the guide prints dashes, which are ignored. Look for the log line \"Retrieved "
            + "override_neuron_config\".",
        "Do not pass --quantization neuron_quant.",
        "An fp8 checkpoint of another library is neither converted nor refused: served without overrides it answers in gibberish (vllm-neuron "
            + "issue 9).",
        "An fp8 cache (kv_quant_config) cannot be loaded from compiled artifacts: it does not survive neuron_config.json.",
    ];

    /// <summary>Composes the command.</summary>
    /// <param name="request">what to serve</param>
    /// <param name="model">the model's config; null when there is none at hand</param>
    public static VllmServing Create(ServingRequest request, ModelConfig? model = null)
    {
        var config = request.Setup.Config;
        var environment = new Dictionary<string, string>(config.RequiredEnvironment);
        if (request.CompiledPath is { } compiled) environment["NEURON_COMPILED_ARTIFACTS"] = compiled;
        var overrides = config.ToJsonObject();
        foreach (string name in FromCommand) overrides.Remove(name);
        return new VllmServing
        {
            Request = request,
            Environment = environment,
            AdditionalConfig = request.CompiledPath is null ? new JsonObject { ["override_neuron_config"] = overrides } : null,
            Findings = [.. Check(request, model)],
            CompileWith = ForPlugin(config),
        };
    }

    /// <summary>The exports and the command, ready for a shell.</summary>
    public string ToShell()
    {
        var config = Request.Setup.Config;
        var text = new StringBuilder();
        foreach (var (name, value) in Environment) text.Append("export ").Append(name).Append('=').Append(Quote(value)).Append('\n');
        text.Append("vllm serve ").Append(Quote(Request.ModelPath)).Append(FormattableString.Invariant(
            $" \\\n  --tensor-parallel-size {config.TpDegree} --max-num-seqs {config.BatchSize} --max-model-len {config.MaxLength} \\\n"))
            .Append(FormattableString.Invariant($"  --num-gpu-blocks-override {config.BatchSize} --no-enable-prefix-caching --port {Request.Port}"));
        if (AdditionalConfig is not null) text.Append(" \\\n  --additional-config ").Append(Quote(AdditionalConfig.ToJsonString(ConfigJson.Plain)));
        return text.ToString();
    }

    /// <inheritdoc/>
    public override string ToString() => ToShell();

    private static IEnumerable<ConfigFinding> Check(ServingRequest request, ModelConfig? model)
    {
        var (setup, config) = (request.Setup, request.Setup.Config);
        if (request.CompiledPath is not null && config.HasKvQuantConfig)
            yield return ConfigFinding.Error("kv_quant_config",
                "cannot be read back from the compiled folder's neuron_config.json: loading ends in an assertion.",
                "Leave the cache in bf16 to serve compiled artifacts, or let the plugin compile.");
        if (request.CompiledPath is null && config.Quantized)
            yield return ConfigFinding.Warning("quantized_checkpoints_path",
                "the plugin quantizes the model again and overwrites this folder, whoever wrote it.",
                "Compile through the Python API with the options under compile_with, and give --compiled.");
        if (model is { Family: ModelFamily.Mistral })
            yield return ConfigFinding.Error("architectures", setup.Sdk.HasMistralClass && model.HeadSize != model.HiddenSize / model.HeadCount
                ? $"MistralForCausalLM is loaded with a head size of {model.HiddenSize / model.HeadCount}, and the model's is {model.HeadSize}."
                : $"MistralForCausalLM is not known to the plugin on SDK {setup.Sdk}.",
                "In a copy of config.json write \"architectures\": [\"LlamaForCausalLM\"] and \"model_type\": \"llama\"; keep head_dim.");
        if (Directory.Exists(request.ModelPath) && Directory.EnumerateFiles(request.ModelPath, "*.safetensors").Any()
            && FolderConfig.Of(request.ModelPath, model) is { Kind: FolderKind.Foreign } foreign)
            yield return ConfigFinding.Error("model", $"{foreign.Description}: the plugin does not convert it, and answers in gibberish without "
                + "an error (vllm-neuron issue 9).", foreign.Findings[0].Remedy);
        if (!setup.Sdk.SupportsInf2) yield return ConfigFinding.Error("sdk", $"the plugin of {setup.Sdk} does not serve from Inf2.",
            "Use SDK 2.28.1.");
    }

    // loader.py:725-783: context encoding one sequence at a time, token generation in batches, sampling on the device.
    private static NeuronConfig ForPlugin(NeuronConfig config) => config.With("ctx_batch_size", 1).With("tkg_batch_size", config.BatchSize)
        .With("max_batch_size", config.BatchSize).With("is_continuous_batching", config.BatchSize > 1)
        .With("on_device_sampling_config", new JsonObject { ["dynamic"] = true, ["deterministic"] = false });

    private static string Quote(string text) => text.Length > 0
        && text.All(c => char.IsAsciiLetterOrDigit(c) || "/._-:=".Contains(c, StringComparison.Ordinal))
        ? text : $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
