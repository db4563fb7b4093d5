using System.Text.Json.Nodes;
using NeuronQuant.Evaluation;

namespace NeuronQuant.Neuron;

/// <summary>What a session is started with.</summary>
/// <param name="CacheFolder">where compiled graphs are kept</param>
/// <param name="NeedDevice">whether loading asks for a Neuron device; false where something else stands in for one</param>
/// <param name="Log">told every line that Python or a tool prints</param>
public sealed record SessionOptions(string CacheFolder, bool NeedDevice = true, Action<string>? Log = null);

/// <summary>
/// A model on Neuron, driven from C#: checked, compiled or found in the cache, loaded, asked, measured. It is a model under test like any
/// other, so that a task grades the device with the same prompts and the same rules as everything else.
/// </summary>
/// <remarks>
/// The configuration object lives on the Python side from the start to the end, because an fp8 cache does not survive the compiled folder.
/// Log-likelihoods are not offered: the device gives logits of new tokens only. A failure that ends Python ends the session; start another.
/// </remarks>
public sealed class NeuronSession : ILanguageModel, IAsyncDisposable
{
    private readonly IPythonHost _host;
    private readonly SessionOptions _options;
    private readonly CompileCache _cache;

    private NeuronSession(IPythonHost host, NeuronSetup setup, string modelPath, NeuronEnvironment environment, SessionOptions options)
    {
        (_host, Setup, ModelPath, Environment, _options) = (host, setup, modelPath, environment, options);
        _cache = new CompileCache(options.CacheFolder);
        Name = $"{Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(modelPath)))} on Neuron, "
            + $"{(setup.Config.Quantized ? $"{setup.Config.QuantizationDtype} {setup.Config.QuantizationType}" : "bf16")}, "
            + $"{setup.Config.ModulesToNotConvert.Count} exclusions, graph {CompileCache.KeyOf(setup, modelPath)}";
    }

    /// <summary>What was checked and is run.</summary>
    public NeuronSetup Setup { get; }

    /// <summary>The folder with config.json and tokenizer.</summary>
    public string ModelPath { get; }

    /// <summary>What the Python side found.</summary>
    public NeuronEnvironment Environment { get; }

    /// <summary>The chip that graphs are compiled for: the one that is there, or inf2 where none is.</summary>
    public string Target { get; private set; } = HostTarget.Inf2;

    /// <summary>The compiled folder, after <see cref="Compile"/>.</summary>
    public string? CompiledPath { get; private set; }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public int MaxContext => Setup.Config.MaxLength;

    /// <inheritdoc/>
    public int PreferredBatch => Setup.Config.BatchSize;

    /// <summary>Checks the set-up, looks at the machine and opens the model. Nothing is compiled yet.</summary>
    /// <param name="host">the Python to use; the session owns it from now on</param>
    /// <param name="setup">the configuration</param>
    /// <param name="modelPath">the folder with config.json and tokenizer</param>
    /// <param name="options">where graphs are kept</param>
    /// <param name="cancellation">ends the call and the host</param>
    /// <exception cref="NeuronRunException">the configuration has errors, or Python lacks something</exception>
    public static async Task<NeuronSession> Start(IPythonHost host, NeuronSetup setup, string modelPath, SessionOptions options,
        CancellationToken cancellation = default)
    {
        try
        {
            SessionStart.Refuse(setup, modelPath);
            var environment = (await host.Call("environment", [], options.Log, cancellation).ConfigureAwait(false)).Read<NeuronEnvironment>(
                "environment");
            SessionStart.CheckMachine(setup, environment);
            var session = new NeuronSession(host, setup, modelPath, environment, options);
            await session.Call("set_environment", new JsonObject { ["variables"] = SessionStart.Variables(setup, environment) }, cancellation)
                .ConfigureAwait(false);
            session.Target = SessionStart.Chip(environment, await session.Call("target", [], cancellation).ConfigureAwait(false));
            var opening = new JsonObject
            {
                ["model_path"] = modelPath,
                ["neuron_config"] = setup.Config.ToJsonObject(),
                ["model_class"] = setup.ModelClass,
            };
            await session.Call("open", opening, cancellation).ConfigureAwait(false);
            return session;
        }
        catch
        {
            await host.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Compiles the graph, or finds it in the cache. Weights are not needed.</summary>
    /// <returns>true when it was in the cache</returns>
    public async Task<bool> Compile(CancellationToken cancellation = default)
    {
        bool reused;
        (CompiledPath, reused) = await _cache.GetOrCompile(Setup, ModelPath, folder => Call("compile", Folder(folder), cancellation))
            .ConfigureAwait(false);
        return reused;
    }

    /// <summary>Loads graph and weights onto the device.</summary>
    /// <exception cref="NeuronRunException">there is no device, it is busy, its memory is too small, or the folder contradicts the
    /// configuration</exception>
    public async Task Load(CancellationToken cancellation = default)
    {
        if (_options.NeedDevice && Environment.Devices.Count == 0)
            throw new NeuronRunException(NeuronFailure.NoDevice, "load", "this machine has no Neuron device.",
                "Run on an Inf2 instance; compiling, checking and planning work without one.");
        if (CompiledPath is null) await Compile(cancellation).ConfigureAwait(false);
        await Call("load", Folder(CompiledPath!), cancellation).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<Generation>> Generate(IReadOnlyList<string> prompts, GenerationSettings settings,
        CancellationToken cancellation = default)
    {
        var request = new JsonObject
        {
            ["prompts"] = Texts(prompts),
            ["max_new_tokens"] = settings.MaxNewTokens,
            ["stops"] = Texts(settings.Stops),
        };
        var answer = await Call("generate", request, cancellation).ConfigureAwait(false);
        return [.. answer["answers"]!.AsArray().Select(item => new Generation(settings.Cut((string)item!["text"]!), (bool)item["truncated"]!))];
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<Likelihood>> Score(IReadOnlyList<Continuation> requests, CancellationToken cancellation = default) =>
        throw new EvaluationException(EvaluationFailure.NotOffered, Name, "a task that scores given texts", "one that generates",
            "The compiled graph gives logits of new tokens only: grade with gsm8k, or score on the engine.");

    /// <summary>Runs benchmark_sampling.</summary>
    public async Task<BenchmarkReport> Benchmark(int runs = 20, CancellationToken cancellation = default)
    {
        var answer = await Call("benchmark", new JsonObject { ["runs"] = runs }, cancellation).ConfigureAwait(false);
        return answer["report"]!.Read<BenchmarkReport>("benchmark") with { Runs = runs, BatchSize = (int)answer["batch_size"]! };
    }

    /// <summary>Logits of the new tokens after each prompt: [prompt][token][vocabulary].</summary>
    public async Task<IReadOnlyList<float[][]>> Logits(IReadOnlyList<string> prompts, int maxNewTokens = 1, CancellationToken cancellation = default)
    {
        var answer = await Call("logits", new JsonObject { ["prompts"] = Texts(prompts), ["max_new_tokens"] = maxNewTokens }, cancellation)
            .ConfigureAwait(false);
        return [.. answer["rows"]!.AsArray().Select(row => row!["logits"]!.Read<float[][]>("logits"))];
    }

    /// <summary>Logits of the token after each row of token ids, as this library's tokenizer made them: [row][vocabulary].</summary>
    /// <param name="ids">rows of one length</param>
    /// <param name="cancellation">ends the call and the host</param>
    public async Task<IReadOnlyList<float[]>> NextLogits(IReadOnlyList<int[]> ids, CancellationToken cancellation = default)
    {
        var rows = new JsonArray([.. ids.Select(row => new JsonArray([.. row.Select(id => JsonValue.Create(id))]))]);
        var answer = await Call("logits", new JsonObject { ["ids"] = rows }, cancellation).ConfigureAwait(false);
        return [.. answer["rows"]!.AsArray().Select(row => row!["logits"]!.Read<float[][]>("logits")[0])];
    }

    /// <summary>How far greedy continuations agree with expected token ids, such as those of the bf16 model.</summary>
    public async Task<AgreementReport> Agreement(IReadOnlyList<string> prompts, IReadOnlyList<int[]> expected, int maxNewTokens,
        CancellationToken cancellation = default) =>
        (await Call("agreement", new JsonObject
        {
            ["prompts"] = Texts(prompts),
            ["expected"] = new JsonArray([.. expected.Select(ids => new JsonArray([.. ids.Select(id => JsonValue.Create(id))]))]),
            ["max_new_tokens"] = maxNewTokens,
        }, cancellation).ConfigureAwait(false)).Read<AgreementReport>("agreement");

    /// <summary>Memory of every Neuron runtime on the machine, from neuron-monitor.</summary>
    public async Task<MemoryReport> Memory(CancellationToken cancellation = default) =>
        new((await Call("memory", [], cancellation).ConfigureAwait(false))["runtimes"]!.Read<NeuronMemory[]>("memory"));

    /// <summary>Compares the quantized folder with NxD's own quantization, byte by byte; on a small model.</summary>
    public async Task<ConformanceReport> Conformance(CancellationToken cancellation = default) =>
        (await Call("conformance", [], cancellation).ConfigureAwait(false)).Read<ConformanceReport>("conformance");

    /// <summary>
    /// Lets NxD quantize into quantized_checkpoints_path. Refused for a folder that this library wrote, whose integers would be lost. The
    /// folder appears whole or not at all.
    /// </summary>
    public async Task Quantize(CancellationToken cancellation = default)
    {
        string? target = Setup.Config.QuantizedCheckpointsPath;
        bool existed = Directory.Exists(target);
        try
        {
            await Call("quantize", [], cancellation).ConfigureAwait(false);
        }
        catch when (!existed && Directory.Exists(target))
        {
            Directory.Delete(target, recursive: true);
            throw;
        }
    }

    /// <summary>Ends Python and everything that it started.</summary>
    public ValueTask DisposeAsync() => _host.DisposeAsync();

    private Task<JsonNode> Call(string name, JsonObject arguments, CancellationToken cancellation) =>
        _host.Call(name, arguments, _options.Log, cancellation);

    private static JsonObject Folder(string path) => new() { ["path"] = Path.GetFullPath(path) };

    private static JsonArray Texts(IEnumerable<string> texts) => [.. texts.Select(text => (JsonNode?)JsonValue.Create(text))];
}
