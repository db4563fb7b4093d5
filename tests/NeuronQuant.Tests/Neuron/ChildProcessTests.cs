using System.Diagnostics;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>What only a child process can show: it may die, be killed, fall silent, or be no Python at all, and is ended with all it
/// started.</summary>
public sealed class ChildProcessTests : IDisposable
{
    private static readonly TimeSpan Named = TimeSpan.FromSeconds(5); // within which a killed child must be reported
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30); // to get as far as the step, on a busy machine
    private readonly TestSession _session = new();

    public void Dispose() => _session.Dispose();

    [Fact]
    public async Task Native_output_is_logged_and_not_taken_for_an_answer()
    {
        var log = new List<string>();
        await using var session = await _session.Start(await PythonForTests.Host(), log);
        await session.Compile();
        Assert.Contains(log, line => line.Contains("descriptor 1", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_child_that_ends_by_itself_is_named_with_its_last_line()
    {
        await using var session = await _session.Start(await PythonForTests.Host("compile:exit"));
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => session.Compile());
        Assert.Equal(NeuronFailure.PythonDied, error.Failure);
        Assert.Contains("native code", error.Traceback, StringComparison.Ordinal); // which of its two streams is read last is chance
        Assert.Contains("exit code 9", error.Message, StringComparison.Ordinal);
        _session.AssertNothingLeft(null, null, compiled: false);
    }

    [Fact]
    public async Task A_Python_without_NxD_Inference_is_refused()
    {
        var bare = await ChildProcessHost.Start(new ChildProcessOptions(PythonForTests.Interpreter()));
        if ((await bare.Call("environment", []))["has_nxdi"]!.GetValue<bool>()) Assert.Skip("NxD Inference is installed here");
        Assert.Equal(NeuronFailure.NxdiMissing, (await Assert.ThrowsAsync<NeuronRunException>(async () => await _session.Start(bare))).Failure);
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
        string target = _session.Model.PathOf(step == "quantize" ? "new" : "q"), file = _session.Model.PathOf("worker");
        var host = await PythonForTests.Host($"{step}:hang", worker: file);
        int python = host.ProcessId;
        var run = Task.Run(async () =>
        {
            await using var session = await _session.Start(host,
                setup: _session.Setup with { Config = _session.Setup.Config.With("quantized_checkpoints_path", target) });
            await (step switch { "quantize" => session.Quantize(), "conformance" => session.Conformance(), _ => TestSession.Go(session) });
        });
        int grandchild = await Worker(file, run);
        using (var child = Process.GetProcessById(python)) child.Kill();
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => run.WaitAsync(Named));
        Assert.Equal((NeuronFailure.PythonDied, step), (error.Failure, error.Step));
        if (step != "memory") Assert.Contains("started worker", error.Traceback, StringComparison.Ordinal);
        _session.AssertNothingLeft(python, grandchild, compiled == 1);
        Assert.Equal(step != "quantize", Directory.Exists(target));
    }

    [Fact]
    public async Task A_child_that_falls_silent_is_ended()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "SIGSTOP is of Unix");
        var host = await PythonForTests.Host("compile:stop", TimeSpan.FromSeconds(2.5)); // more than two beats of the bridge
        await using var session = await _session.Start(host);
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => session.Compile().WaitAsync(TimeSpan.FromSeconds(8)));
        Assert.Equal(NeuronFailure.PythonSilent, error.Failure);
        _session.AssertNothingLeft(host.ProcessId, null, compiled: false);
    }

    [Fact]
    public async Task A_program_that_is_no_Python_is_named()
    {
        Assert.Equal(NeuronFailure.NoPython, Assert.Throws<NeuronRunException>(() => PythonInterpreter.Find("no-such-python")).Failure);
        Assert.Equal(NeuronFailure.NoPython, Assert.Throws<NeuronRunException>(() => PythonInterpreter.Find(null, _ => null)).Failure);
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs a shell script");
        string script = _session.Model.PathOf("python3");
        File.WriteAllText(script, "#!/bin/sh\necho 'neuron_bridge needs Python 3.10 or newer, this is 3.8' >&2\nexit 3\n");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => ChildProcessHost.Start(new ChildProcessOptions(script)));
        Assert.Equal(NeuronFailure.WrongPython, error.Failure);
        Assert.Contains("3.8", error.Message, StringComparison.Ordinal);
        var silent = await Assert.ThrowsAsync<NeuronRunException>(() =>
            ChildProcessHost.Start(new ChildProcessOptions(Sleeper(), Patience: TimeSpan.FromSeconds(1))));
        Assert.Equal(NeuronFailure.WrongPython, silent.Failure);
        Assert.Equal("NEURON_PYTHON", PythonInterpreter.Find(null, name => name == "NEURON_PYTHON" ? script : null).Origin);
        Directory.CreateDirectory(_session.Model.PathOf("bin"));
        File.Copy(script, Path.Combine(_session.Model.PathOf("bin"), "python3"));
        Assert.Equal("CONDA_PREFIX", PythonInterpreter.Find(null, name => name == "CONDA_PREFIX" ? _session.Model.Root : null).Origin);
    }

    private string Sleeper()
    {
        string script = _session.Model.PathOf("sleeper");
        File.WriteAllText(script, "#!/bin/sh\nsleep 60\n");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return script;
    }

    // The process that a hanging step started; a run that ends before it hangs shows its own error.
    private static async Task<int> Worker(string file, Task run)
    {
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < Patience; await Task.Delay(20))
        {
            if (run.IsCompleted) await run;
            if (File.Exists(file) && File.ReadAllText(file) is { } text && text.EndsWith('\n'))
                return int.Parse(text, System.Globalization.CultureInfo.InvariantCulture);
        }
        throw new TimeoutException("The step did not begin.");
    }
}
