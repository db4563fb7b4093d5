using System.Text.Json.Nodes;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>What only a Python in this process can show.</summary>
[Collection("notebooks")] // One Python and one headless engine in a process.
public sealed class InProcessPythonTests : IDisposable
{
    private readonly TestSession _session = new();

    public void Dispose() => _session.Dispose();

    [Fact]
    public async Task The_library_picks_it_and_says_so()
    {
        await using var host = await PythonForTests.InProcess();
        Assert.IsType<InProcessPythonHost>(host);
        Assert.Contains("in process", host.Description, StringComparison.Ordinal);
        var second = await PythonHosts.Open(PythonForTests.Options());
        await using var child = second.Host;
        Assert.IsType<ChildProcessHost>(child); // one session at a time in a process
        Assert.Equal("Python in a child process: another session uses the Python of this process.", second.ToString());
    }

    [Fact]
    public async Task Variables_are_set_from_Python_and_values_keep_their_kind()
    {
        await using var host = await PythonForTests.InProcess();
        var answer = await host.Call("set_environment", new JsonObject { ["variables"] = new JsonObject { ["NEURON_TEST_ä"] = "ü\n\"" } });
        Assert.Equal(["NEURON_TEST_ä"], answer["changed"]!.AsArray().Select(name => (string)name!));
        var again = await host.Call("set_environment", new JsonObject { ["variables"] = new JsonObject { ["NEURON_TEST_ä"] = "ü\n\"" } });
        Assert.Empty(again["changed"]!.AsArray());
        var report = await host.Call("environment", []);
        Assert.False(report["torch_xla_loaded"]!.GetValue<bool>());
    }

    [Fact]
    public async Task A_cancelled_host_is_ended_and_the_next_one_is_not_hit_by_its_interrupt()
    {
        using var cancel = new CancellationTokenSource();
        var host = await PythonForTests.InProcess("compile:hang");
        await using (var session = await _session.Start(host, log: line =>
            { if (line.StartsWith("started", StringComparison.Ordinal)) cancel.Cancel(); }))
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.Compile(cancel.Token));
            Assert.Equal(NeuronFailure.PythonDied, (await Assert.ThrowsAsync<NeuronRunException>(() => session.Compile())).Failure);
        }
        await using var next = await _session.Start(await PythonForTests.InProcess());
        await TestSession.Go(next);
    }

    [Fact]
    public async Task Native_code_that_cannot_be_stopped_is_said_to_run_on()
    {
        using var cancel = new CancellationTokenSource();
        var host = await PythonForTests.InProcess("compile:native");
        await using var session = await _session.Start(host, log: line =>
            { if (line.StartsWith("native", StringComparison.Ordinal)) cancel.Cancel(); });
        var error = await Assert.ThrowsAsync<NeuronRunException>(() => session.Compile(cancel.Token));
        Assert.Equal(NeuronFailure.PythonSilent, error.Failure);
        Assert.Contains("runs on", error.Message, StringComparison.Ordinal);
        var meanwhile = await PythonHosts.Open(PythonForTests.Options());
        await using (meanwhile.Host) Assert.Contains("another session", meanwhile.Reason, StringComparison.Ordinal);
        await Free();
    }

    [Fact]
    public async Task A_run_on_a_device_uses_it()
    {
        var lines = new List<string>();
        var options = new DeviceOptions(DeviceOptions.Auto, _session.Model.PathOf("cache"), PythonForTests.Fake, line =>
            { lock (lines) lines.Add(line); });
        await using var device = await NeuronDevice.Open(_session.Setup, _session.Model.Folder, options);
        Assert.StartsWith("Python in process", lines[0], StringComparison.Ordinal);
        var benchmark = await device.Do("benchmark", async (session, cancellation) =>
        {
            await session.Load(cancellation);
            return await session.Benchmark(4, cancellation);
        });
        Assert.Equal(4.0, benchmark.Result!.TimePerTokenMs); // as the fake says
    }

    [Fact]
    public async Task An_expression_is_asked_of_Python_and_a_wrong_one_is_named()
    {
        Assert.Equal(PythonExpression.NotAsked, await PythonExpression.Evaluate("none", "1"));
        await (await PythonForTests.InProcess()).DisposeAsync(); // skips where this Python has no library
        string python = PythonForTests.Interpreter();
        Assert.Equal("[0, 2, 2, 4, 0, -2]", await PythonExpression.Evaluate(python, "[round(x) for x in (0.5, 1.5, 2.5, 3.5, -0.5, -1.5)]"));
        Assert.Equal("[2, -2]", await PythonExpression.Run(python, () =>
        {
            dynamic builtins = Python.Runtime.Py.Import("builtins");
            return builtins.list(builtins.map(builtins.round, new[] { 1.5, -1.5 }));
        }));
        Assert.Contains("ModuleNotFoundError", (await Assert.ThrowsAsync<NeuronRunException>(() => PythonExpression.Run(python, () => Python.Runtime.Py.Import("no_such_module")))).Message,
            StringComparison.Ordinal);
        Assert.Contains("ZeroDivisionError", (await Assert.ThrowsAsync<NeuronRunException>(() => PythonExpression.Evaluate(python, "1/0"))).Message,
            StringComparison.Ordinal);
    }

    // The native call lasts eight seconds, and its session is closed after it.
    private static async Task Free()
    {
        for (int i = 0; i < 100; i++, await Task.Delay(100))
        {
            var attempt = await InProcessPythonHost.TryStart(PythonForTests.Options());
            if (attempt.Host is null) continue;
            await attempt.Host.DisposeAsync();
            return;
        }
        Assert.Fail("the Python of this process did not become free");
    }
}
