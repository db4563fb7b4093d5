using System.Diagnostics;
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

/// <summary>The whole path over a child process, with the fake NxD Inference in place of the real one: it checks what the loader would check.</summary>
public sealed class NeuronSessionTests : IDisposable
{
    private static readonly TimeSpan Named = TimeSpan.FromSeconds(5); // within which a killed child must be reported
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30); // to get as far as the step, on a busy machine
    private readonly TinyModel _model = new();
    private readonly NeuronSetup _setup;

    public NeuronSessionTests()
    {
        using var source = _model.Open();
        var record = NeuronCheckpoint.Write(source, _model.PathOf("q"), QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["lm_head", "layers.1.mlp"]));
        _setup = NeuronSetup.Of(NeuronConfig.For(record, _model.PathOf("q")).With("torch_dtype", "bfloat16").With("tp_degree", 2).With("batch_size", 2)
            .With("seq_len", 256).With("max_context_length", 64).WithFp8Cache(NeuronSdk.Pinned), "inf2.8xlarge");
    }

    public void Dispose() => _model.Dispose();

    [Fact]
    public async Task A_folder_is_loaded_without_quantizing_compiled_benchmarked_graded_and_compared()
    {
        var log = new List<string>();
        await using var session = await Start(await PythonForTests.Host(), log);
        Assert.False(await session.Compile());
        await session.Load();
        Assert.Contains(log, line => line.StartsWith("tracing", StringComparison.Ordinal));
        Assert.Contains(log, line => line.Contains("descriptor 1", StringComparison.Ordinal)); // native output is logged, not taken for an answer

        var task = WordProblemTask.Demo([new WordProblem("3 and 4?", "3 + 4 = 7\n#### 7"), new WordProblem("3 and 5?", "#### 8"), new WordProblem("7?", "#### 7")]);
        var graded = await Evaluator.Run(task, session);
        Assert.Equal(2.0 / 3, graded.Scores().First(score => score.Group is null or "").Accuracy, 9);

        var benchmark = await session.Benchmark(runs: 4);
        Assert.Equal((4, 2, 4.0, 500.0), (benchmark.Runs, benchmark.BatchSize, benchmark.TimePerTokenMs, benchmark.TokensPerSecond!.Value)); // the fake says 4 ms
        var memory = await session.Memory();
        Assert.Equal((14_000_000_000, 3_000_000_000, 2, 7_000_000_000), (memory.DeviceBytes, memory.HostBytes, memory.Cores.Count, memory.Cores["0"])); // as the fake tool says
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
        var record = NeuronCheckpoint.Write(source, _model.PathOf("demo"), QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: ["lm_head"]));
        string folder = _model.Rewrite(_model.PathOf("demo"), "changed", (tensor, bytes) =>
        {
            if (tensor.Name.EndsWith("layers.0.mlp.up_proj.scale", StringComparison.Ordinal))
                foreach (ref float scale in MemoryMarshal.Cast<byte, float>(bytes.AsSpan())) scale *= factor;
            return [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)];
        });
        var options = new SessionOptions(_model.PathOf("graphs"), NeedDevice: false);
        await using var session = await NeuronSession.Start(await PythonForTests.Host(), ToyConformance.Setup(record, folder, tpDegree: 2), demo, options);
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
        await using (var session = await Start(await PythonForTests.Host())) Assert.False(await session.Compile());
        Directory.Move(_model.PathOf("q"), _model.PathOf("q2"));
        var moved = _setup with { Config = _setup.Config.With("quantized_checkpoints_path", _model.PathOf("q2")) };
        await using (var session = await Start(await PythonForTests.Host(), setup: moved)) Assert.True(await session.Compile());
        string key = CompileCache.KeyOf(_setup, _model.Folder);
        foreach (var other in new[]
        {
            _setup with { Config = _setup.Config.With("modules_to_not_convert", new JsonArray("lm_head")) }, _setup with { Config = _setup.Config.With("seq_len", 128) },
            _setup with { Config = _setup.Config.With("quantization_dtype", "f8e5m2") }, _setup with { Sdk = NeuronSdk.Parse("2.27.1") },
        })
            Assert.NotEqual(key, CompileCache.KeyOf(other, _model.Folder));
        Assert.Throws<NeuronException>(() => CompileCache.KeyOf(_setup with { Config = _setup.Config.With("save_sharded_checkpoint", true) }, _model.Folder));
    }

    [Theory]
    [InlineData("open", 0)]
    [InlineData("quantize", 0)]
    [InlineData("conformance", 0)]
    [InlineData("compile", 0)]
    [InlineData("load", 1)]
    [InlineData("generate", 1)]
    [InlineData("benchmark", 1)]
    [InlineData("memory", 1)]
    public async Task A_killed_child_is_named_and_leaves_neither_a_process_nor_half_a_folder(string step, int compiled)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the tool of the fake is a shell script");
        string target = _model.PathOf(step == "quantize" ? "new" : "q"), file = _model.PathOf("worker");
        var host = await PythonForTests.Host($"{step}:hang", worker: file);
        int python = host.ProcessId;
        var run = Task.Run(async () =>
        {
            await using var session = await Start(host, setup: _setup with { Config = _setup.Config.With("quantized_checkpoints_path", target) });
            await (step switch { "quantize" => session.Quantize(), "conformance" => session.Conformance(), _ => Go(session) });
        });
        int grandchild = await Worker(file, run);
        using (var child = Process.GetProcessById(python)) child.Kill();
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => run.WaitAsync(Named));
        Assert.Equal((NeuronFailure.PythonDied, step), (error.Failure, error.Step));
        if (step != "memory") Assert.Contains("started worker", error.Traceback, StringComparison.Ordinal);
        AssertNothingLeft(python, grandchild, compiled == 1);
        Assert.Equal(step != "quantize", Directory.Exists(target));
    }

    [Fact]
    public async Task Cancelling_ends_the_child_and_its_workers()
    {
        using var cancel = new CancellationTokenSource();
        var worker = new TaskCompletionSource<int>();
        var host = await PythonForTests.Host("compile:hang");
        await using var session = await Start(host, log: line =>
        {
            if (Regex.Match(line, @"started worker (\d+)") is { Success: true } match) worker.TrySetResult(int.Parse(match.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture));
        });
        var run = session.Compile(cancel.Token);
        int grandchild = await worker.Task.WaitAsync(Patience);
        cancel.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => run.WaitAsync(Named));
        AssertNothingLeft(host.ProcessId, grandchild, compiled: false);
    }

    [Fact]
    public async Task A_child_that_falls_silent_is_ended()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "SIGSTOP is of Unix");
        var host = await PythonForTests.Host("compile:stop", TimeSpan.FromSeconds(2.5)); // more than two beats of the bridge
        await using var session = await Start(host);
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => session.Compile().WaitAsync(TimeSpan.FromSeconds(8)));
        Assert.Equal(NeuronFailure.PythonSilent, error.Failure);
        AssertNothingLeft(host.ProcessId, null, compiled: false);
    }

    [Theory]
    [InlineData("compile:ncc", NeuronFailure.CompileFailed, "NCC_IXCG856")]
    [InlineData("compile:disk", NeuronFailure.DiskFull, "No space left")]
    [InlineData("compile:exit", NeuronFailure.PythonDied, "native code")]
    [InlineData("load:oom", NeuronFailure.OutOfMemory, "tp_degree")]
    [InlineData("load:busy", NeuronFailure.DeviceBusy, "neuron-ls")]
    public async Task A_failure_has_a_name_and_a_remedy(string trouble, NeuronFailure failure, string words)
    {
        var host = await PythonForTests.Host(trouble);
        await using var session = await Start(host);
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => Go(session));
        Assert.Equal(failure, error.Failure);
        bool died = failure == NeuronFailure.PythonDied; // which of its two streams is read last is chance, so its last words may stand above another line
        Assert.Contains(words, died ? error.Traceback : error.Message, StringComparison.Ordinal);
        if (died) Assert.Contains("exit code 9", error.Message, StringComparison.Ordinal);
        Assert.NotEqual("", error.Remedy);
        if (failure == NeuronFailure.CompileFailed) Assert.Equal("NCC_IXCG856", Assert.Single(error.Codes));
        if (failure != NeuronFailure.PythonDied) Assert.Contains("Traceback", error.Traceback, StringComparison.Ordinal);
        AssertNothingLeft(null, null, compiled: trouble.StartsWith("load", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_checkpoint_that_contradicts_the_configuration_is_named()
    {
        File.Delete(Path.Combine(_model.PathOf("q"), QuantizationRecord.FileName)); // with its record the check would refuse before Python is asked
        var setup = _setup with { Config = _setup.Config.With("modules_to_not_convert", new JsonArray("lm_head")) };
        await using var session = await Start(await PythonForTests.Host(), setup: setup);
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => Go(session));
        Assert.Equal(NeuronFailure.CheckpointContradicts, error.Failure);
        Assert.Contains("layers.1.mlp", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_wrong_from_the_start_is_refused_at_the_start()
    {
        var bad = _setup with { Config = _setup.Config.With("quantization_dtype", "fp8") };
        Assert.Equal(NeuronFailure.ConfigRefused, (await Assert.ThrowsAsync<NeuronRunException>(async () => await Start(await PythonForTests.Host(), setup: bad))).Failure);
        var bare = await ChildProcessHost.Start(new ChildProcessOptions(PythonForTests.Interpreter()));
        if ((await bare.Call("environment", []))["has_nxdi"]!.GetValue<bool>()) Assert.Skip("NxD Inference is installed here");
        Assert.Equal(NeuronFailure.NxdiMissing, (await Assert.ThrowsAsync<NeuronRunException>(async () => await Start(bare))).Failure);
        await using var session = await NeuronSession.Start(await PythonForTests.Host(), _setup, _model.Folder, new SessionOptions(_model.PathOf("cache")));
        if (session.Environment.Devices.Count == 0)
            Assert.Equal(NeuronFailure.NoDevice, (await Assert.ThrowsAsync<NeuronRunException>(() => session.Load())).Failure);
    }

    [Fact]
    public async Task A_program_that_is_no_Python_is_named()
    {
        Assert.Equal(NeuronFailure.NoPython, Assert.Throws<NeuronRunException>(() => PythonInterpreter.Find("no-such-python")).Failure);
        Assert.Equal(NeuronFailure.NoPython, Assert.Throws<NeuronRunException>(() => PythonInterpreter.Find(null, _ => null)).Failure);
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs a shell script");
        string script = _model.PathOf("python3");
        File.WriteAllText(script, "#!/bin/sh\necho 'neuron_bridge needs Python 3.10 or newer, this is 3.8' >&2\nexit 3\n");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => ChildProcessHost.Start(new ChildProcessOptions(script)));
        Assert.Equal(NeuronFailure.WrongPython, error.Failure);
        Assert.Contains("3.8", error.Message, StringComparison.Ordinal);
        var silent = await Assert.ThrowsAsync<NeuronRunException>(() => ChildProcessHost.Start(new ChildProcessOptions(Sleeper(), Patience: TimeSpan.FromSeconds(1))));
        Assert.Equal(NeuronFailure.WrongPython, silent.Failure);
        Assert.Equal("NEURON_PYTHON", PythonInterpreter.Find(null, name => name == "NEURON_PYTHON" ? script : null).Origin);
        Directory.CreateDirectory(_model.PathOf("bin"));
        File.Copy(script, Path.Combine(_model.PathOf("bin"), "python3"));
        Assert.Equal("CONDA_PREFIX", PythonInterpreter.Find(null, name => name == "CONDA_PREFIX" ? _model.Root : null).Origin);
    }

    private string Sleeper()
    {
        string script = _model.PathOf("sleeper");
        File.WriteAllText(script, "#!/bin/sh\nsleep 60\n");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return script;
    }

    [Fact]
    public async Task Another_release_than_the_one_checked_for_is_refused()
    {
        Directory.CreateDirectory(_model.PathOf("site/neuronx_distributed_inference-0.9.17334.dist-info"));
        File.WriteAllText(_model.PathOf("site/neuronx_distributed_inference-0.9.17334.dist-info/METADATA"), "Metadata-Version: 2.1\nName: neuronx-distributed-inference\nVersion: 0.9.17334\n");
        var host = await PythonForTests.Host(first: _model.PathOf("site"));
        var error = await Assert.ThrowsAsync<NeuronRunException>(async () => await Start(host));
        Assert.Equal(NeuronFailure.WrongSdk, error.Failure);
        Assert.Contains("SDK 2.29.0 is installed", error.Message, StringComparison.Ordinal);
        Assert.Contains("2.28.1", error.Remedy, StringComparison.Ordinal);
        AssertNothingLeft(null, null, compiled: false);
    }

    private static async Task Go(NeuronSession session)
    {
        await session.Load();
        _ = await session.Generate(["x"], new GenerationSettings([], 4));
        _ = await session.Benchmark(1);
        _ = await session.Memory();
    }

    // The process that a hanging step started; a run that ends before it hangs shows its own error.
    private static async Task<int> Worker(string file, Task run)
    {
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < Patience; await Task.Delay(20))
        {
            if (run.IsCompleted) await run;
            if (File.Exists(file) && File.ReadAllText(file) is { } text && text.EndsWith('\n')) return int.Parse(text, System.Globalization.CultureInfo.InvariantCulture);
        }
        throw new TimeoutException("The step did not begin.");
    }

    private Task<NeuronSession> Start(IPythonHost host, List<string>? lines = null, NeuronSetup? setup = null, Action<string>? log = null) =>
        NeuronSession.Start(host, setup ?? _setup, _model.Folder, new SessionOptions(_model.PathOf("cache"), NeedDevice: false, log ?? (line => { lock (_model) lines?.Add(line); })));

    private void AssertNothingLeft(int? child, int? grandchild, bool compiled)
    {
        foreach (int process in new[] { child, grandchild }.OfType<int>()) Assert.True(IsGone(process), $"process {process} is still there");
        string[] folders = Directory.Exists(_model.PathOf("cache")) ? Directory.GetDirectories(_model.PathOf("cache")) : [];
        Assert.Equal(compiled ? 1 : 0, folders.Length);
        Assert.DoesNotContain(folders, folder => folder.Contains(".partial", StringComparison.Ordinal));
    }

    // A zombie that init has not collected yet runs nothing any more.
    private static bool IsGone(int process)
    {
        for (int i = 0; i < 40; i++, Thread.Sleep(50))
            if (!File.Exists($"/proc/{process}/stat") || File.ReadAllText($"/proc/{process}/stat").Contains(") Z", StringComparison.Ordinal)) return true;
        return false;
    }
}
