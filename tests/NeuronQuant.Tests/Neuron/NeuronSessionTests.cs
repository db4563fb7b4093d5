using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using NeuronQuant.Checkpoints;
using NeuronQuant.Evaluation;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>
/// What every host of Python must do, with the fake NxD Inference in place of the real one: it checks what the loader would check.
/// </summary>
public abstract class NeuronSessionTests : IDisposable
{
    private static readonly TimeSpan Named = TimeSpan.FromSeconds(5); // within which a cancelled call must have ended
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30); // to get as far as the step, on a busy machine
    private readonly TestSession _session = new();

    /// <summary>Opens the host at hand with a fake that fails at a step.</summary>
    protected abstract Task<IPythonHost> Host(string trouble = "", string? first = null);

    public void Dispose()
    {
        _session.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task A_folder_is_loaded_without_quantizing_compiled_benchmarked_graded_and_compared()
    {
        var log = new List<string>();
        await using var session = await _session.Start(await Host(), log);
        Assert.False(await session.Compile());
        await session.Load();
        Assert.Contains(log, line => line.StartsWith("tracing", StringComparison.Ordinal));

        var task = WordProblemTask.Demo([new WordProblem("3 and 4?", "3 + 4 = 7\n#### 7"), new WordProblem("3 and 5?", "#### 8"),
            new WordProblem("7?", "#### 7")]);
        var graded = await Evaluator.Run(task, session);
        Assert.Equal(2.0 / 3, graded.Scores().First(score => score.Group is null or "").Accuracy, 9);

        var benchmark = await session.Benchmark(runs: 4);
        // the fake says 4 ms
        Assert.Equal((4, 2, 4.0, 500.0), (benchmark.Runs, benchmark.BatchSize, benchmark.TimePerTokenMs, benchmark.TokensPerSecond!.Value));
        var memory = await session.Memory();
        // as the fake tool says
        Assert.Equal((14_000_000_000, 3_000_000_000, 2, 7_000_000_000),
            (memory.DeviceBytes, memory.HostBytes, memory.Cores.Count, memory.Cores["0"]));
        Assert.True((await session.Conformance()).Equal);
        var logits = Assert.Single(await session.Logits(["x"], 2));
        Assert.Equal([2, 2], [logits.Length, logits[0].Length]);
        Assert.Equal(0.5, (await session.Agreement(["x"], [[32, 0]], 2)).Rate);
        Assert.Throws<EvaluationException>(() => { _ = session.Score([]); });
        var refused = await Assert.ThrowsAsync<NeuronRunException>(() => session.Quantize());
        Assert.Contains("overwrite", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(3, false)] // Scales of one module three times too large: everything fits the graph, and the model is another.
    public async Task Logits_of_the_folder_by_a_second_implementation_are_those_of_the_engine(float factor, bool agree)
    {
        string demo = Repository.PathOf("data", "demo-model");
        using var source = Checkpoint.Open(demo);
        var record = NeuronCheckpoint.Write(source, _session.Model.PathOf("demo"),
            QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["lm_head"]));
        string folder = _session.Model.Rewrite(_session.Model.PathOf("demo"), "changed", (tensor, bytes) =>
        {
            if (tensor.Name.EndsWith("layers.0.mlp.up_proj.scale", StringComparison.Ordinal))
                foreach (ref float scale in MemoryMarshal.Cast<byte, float>(bytes.AsSpan())) scale *= factor;
            return [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)];
        });
        var options = new SessionOptions(_session.Model.PathOf("graphs"), NeedDevice: false);
        await using var session = await NeuronSession.Start(await Host(), ToyConformance.Setup(record, folder, tpDegree: 2), demo, options);
        await session.Load();
        int[] ids = [1, 17, 5, 63, 17, 200, 40];
        float[] given = Assert.Single(await session.NextLogits([ids]));
        var model = QuantizedCopy.RoundToNearest(LlamaModel.Load(demo), Grid.Nxd(), ["lm_head"]);
        var found = LogitsAgreement.Of(given, model, ids);
        Assert.Equal(agree, found.Agree);
        if (agree) Assert.InRange(found.LargestDifference, 0, 1e-4); // float32 here, float64 there.
        var tooFew = LogitsAgreement.Of(given[..^1], model, ids);
        Assert.False(tooFew.Agree);
        Assert.Contains("511 logits, but the vocabulary has 512", $"{tooFew}", StringComparison.Ordinal);
    }

    [Fact]
    public async Task Values_may_change_without_compiling_again_and_modules_may_not()
    {
        await using (var session = await _session.Start(await Host())) Assert.False(await session.Compile());
        Directory.Move(_session.Model.PathOf("q"), _session.Model.PathOf("q2"));
        var moved = _session.Setup with { Config = _session.Setup.Config.With("quantized_checkpoints_path", _session.Model.PathOf("q2")) };
        await using (var session = await _session.Start(await Host(), setup: moved)) Assert.True(await session.Compile());
        string key = CompileCache.KeyOf(_session.Setup, _session.Model.Folder);
        foreach (var other in new[]
        {
            _session.Setup with { Config = _session.Setup.Config.With("modules_to_not_convert", new JsonArray("lm_head")) },
                _session.Setup with { Config = _session.Setup.Config.With("seq_len", 128) },
            _session.Setup with { Config = _session.Setup.Config.With("quantization_dtype", "f8e5m2") },
                _session.Setup with { Sdk = NeuronSdk.Parse("2.27.1") },
        })
            Assert.NotEqual(key, CompileCache.KeyOf(other, _session.Model.Folder));
        Assert.Throws<NeuronException>(() =>
            CompileCache.KeyOf(_session.Setup with { Config = _session.Setup.Config.With("save_sharded_checkpoint", true) }, _session.Model.Folder));
    }

    [Fact]
    public async Task Cancelling_ends_the_call_and_its_workers()
    {
        using var cancel = new CancellationTokenSource();
        var worker = new TaskCompletionSource<int>();
        var host = await Host("compile:hang");
        await using var session = await _session.Start(host, log: line =>
        {
            if (Regex.Match(line, @"started worker (\d+)") is { Success: true } match)
                worker.TrySetResult(int.Parse(match.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture));
        });
        var run = session.Compile(cancel.Token);
        int grandchild = await worker.Task.WaitAsync(Patience);
        cancel.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => run.WaitAsync(Named));
        _session.AssertNothingLeft((host as ChildProcessHost)?.ProcessId, grandchild, compiled: false);
    }

    [Theory]
    [InlineData("compile:ncc", NeuronFailure.CompileFailed, "NCC_IXCG856")]
    [InlineData("compile:disk", NeuronFailure.DiskFull, "No space left")]
    [InlineData("load:oom", NeuronFailure.OutOfMemory, "tp_degree")]
    [InlineData("load:busy", NeuronFailure.DeviceBusy, "neuron-ls")]
    [InlineData("generate:unwrapped", NeuronFailure.AdapterFault, "hf_adapter.py:313")] // 2.28's fault, the bridge's repair taken away
    public async Task A_failure_has_a_name_and_a_remedy(string trouble, NeuronFailure failure, string words)
    {
        var host = await Host(trouble);
        await using var session = await _session.Start(host);
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => TestSession.Go(session));
        Assert.Equal(failure, error.Failure);
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
        Assert.NotEqual("", error.Remedy);
        if (failure == NeuronFailure.CompileFailed) Assert.Equal("NCC_IXCG856", Assert.Single(error.Codes));
        Assert.Contains("Traceback", error.Traceback, StringComparison.Ordinal);
        _session.AssertNothingLeft(null, null, compiled: !trouble.StartsWith("compile", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_checkpoint_that_contradicts_the_configuration_is_named()
    {
        // with its record the check would refuse before Python is asked
        File.Delete(Path.Combine(_session.Model.PathOf("q"), QuantizationRecord.FileName));
        var setup = _session.Setup with { Config = _session.Setup.Config.With("modules_to_not_convert", new JsonArray("lm_head")) };
        await using var session = await _session.Start(await Host(), setup: setup);
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => TestSession.Go(session));
        Assert.Equal(NeuronFailure.CheckpointContradicts, error.Failure);
        Assert.Contains("layers.1.mlp", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_wrong_from_the_start_is_refused_at_the_start()
    {
        var bad = _session.Setup with { Config = _session.Setup.Config.With("quantization_dtype", "fp8") };
        Assert.Equal(NeuronFailure.ConfigRefused,
            (await Assert.ThrowsAsync<NeuronRunException>(async () => await _session.Start(await Host(), setup: bad))).Failure);
        await using var session = await NeuronSession.Start(await Host(), _session.Setup, _session.Model.Folder,
            new SessionOptions(_session.Model.PathOf("cache")));
        if (session.Environment.Devices.Count == 0)
            Assert.Equal(NeuronFailure.NoDevice, (await Assert.ThrowsAsync<NeuronRunException>(() => session.Load())).Failure);
    }

    [Fact]
    public async Task A_second_session_finds_nothing_of_the_first()
    {
        const string name = "NEURON_RT_NUM_CORES";
        await using (var session = await _session.Start(await Host())) await session.Compile();
        var first = await Host();
        await using (first)
        {
            await first.Call("set_environment", new JsonObject { ["variables"] = new JsonObject { [name] = "7" } });
            Assert.Equal("7", (string?)(await first.Call("environment", []))["variables"]![name]);
        }
        await using var second = await Host();
        Assert.Equal(Environment.GetEnvironmentVariable(name), (string?)(await second.Call("environment", []))["variables"]![name]);
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => second.Call("compile", new JsonObject { ["path"] = "x" }));
        Assert.Contains("Call open first", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Another_release_than_the_one_checked_for_is_refused()
    {
        Directory.CreateDirectory(_session.Model.PathOf("site/neuronx_distributed_inference-0.9.17334.dist-info"));
        File.WriteAllText(_session.Model.PathOf("site/neuronx_distributed_inference-0.9.17334.dist-info/METADATA"),
            "Metadata-Version: 2.1\nName: neuronx-distributed-inference\nVersion: 0.9.17334\n");
        var host = await Host(first: _session.Model.PathOf("site"));
        var error = await Assert.ThrowsAsync<NeuronRunException>(async () => await _session.Start(host));
        Assert.Equal(NeuronFailure.WrongSdk, error.Failure);
        Assert.Contains("SDK 2.29.0 is installed", error.Message, StringComparison.Ordinal);
        Assert.Contains("2.28.1", error.Remedy, StringComparison.Ordinal);
        _session.AssertNothingLeft(null, null, compiled: false);
    }
}

/// <summary>Python as a child process, as a job uses it.</summary>
public sealed class ChildProcessSessionTests : NeuronSessionTests
{
    protected override async Task<IPythonHost> Host(string trouble = "", string? first = null) => await PythonForTests.Host(trouble, first: first);
}

/// <summary>Python in this process, as a notebook uses it. One at a time: a process has one Python.</summary>
[Collection("notebooks")] // One Python and one headless engine in a process.
public sealed class InProcessSessionTests : NeuronSessionTests
{
    protected override Task<IPythonHost> Host(string trouble = "", string? first = null) => PythonForTests.InProcess(trouble, first);
}
