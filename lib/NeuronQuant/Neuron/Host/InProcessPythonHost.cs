using System.Text.Json.Nodes;
using System.Threading.Channels;
using Python.Runtime;

namespace NeuronQuant.Neuron;

/// <summary>Runs the bridge in this process by pythonnet: the same functions, the same JSON, the same errors as a child process.</summary>
/// <remarks>
/// <para>Only text crosses: arguments are parsed and results written by Python's own json, so that no object of one side is kept by the other.
/// Lines that Python prints come through a delegate under Python's lock; they are handed to another thread there, and all of a call's lines
/// are delivered before the call ends.</para>
/// <para>Cancelling raises KeyboardInterrupt between two steps of Python code and ends the processes that Python started. A single call into
/// native code cannot be stopped from outside: after <see cref="Grace"/> the error says so, and the code goes on until it returns.</para>
/// <para>Left out: a watch for silence, since a thread that hangs cannot be ended as a process can. Variables are put back when the host ends;
/// modules stay loaded, with what they read of the variables.</para>
/// </remarks>
public sealed class InProcessPythonHost : IPythonHost
{
    /// <summary>The reason while another session is open.</summary>
    internal const string Busy = "another session uses the Python of this process";

    private const string Module = "neuron_bridge.inside";

    /// <summary>How long a cancelled call may go on before the error says that it does.</summary>
    internal static readonly TimeSpan Grace = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan Beat = TimeSpan.FromMilliseconds(200);
    private static int _open;

    private readonly SemaphoreSlim _turn = new(1);
    private readonly Channel<string> _lines = Channel.CreateUnbounded<string>(new UnboundedChannelOptions { SingleReader = true });
    private PyObject? _inside;
    private int _ended;

    private InProcessPythonHost(string description) => Description = description;

    /// <inheritdoc/>
    public string Description { get; }

    /// <summary>Starts Python in this process, or says why it cannot be.</summary>
    /// <param name="options">interpreter, variables and folders; silence and patience are a child's</param>
    /// <param name="cancellation">ends the wait</param>
    /// <exception cref="NeuronRunException">there is no interpreter, or the bridge is not beside the library</exception>
    public static async Task<InProcessAttempt> TryStart(ChildProcessOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        var interpreter = PythonInterpreter.Find(options.Interpreter);
        var (library, reason) = await PythonLibrary.Of(interpreter, cancellation).ConfigureAwait(false);
        if (library is null) return new InProcessAttempt(null, reason);
        if (Interlocked.CompareExchange(ref _open, 1, 0) != 0) return new InProcessAttempt(null, Busy);
        try
        {
            string? refusal = PythonRuntime.IsBusy ? "native code of a cancelled call still runs"
                : await PythonRuntime.Start(library).WaitAsync(cancellation).ConfigureAwait(false);
            if (refusal is null)
            {
                var host = new InProcessPythonHost($"Python {library.Version} of {interpreter.Path} (from {interpreter.Origin}), in process");
                await host.Import(options).WaitAsync(cancellation).ConfigureAwait(false);
                return new InProcessAttempt(host, "");
            }
            Volatile.Write(ref _open, 0);
            return new InProcessAttempt(null, refusal);
        }
        catch
        {
            Volatile.Write(ref _open, 0);
            throw;
        }
    }

    /// <inheritdoc/>
    public async Task<JsonNode> Call(string name, JsonObject arguments, Action<string>? log = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        await _turn.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            if (_ended != 0) throw new NeuronRunException(NeuronFailure.PythonDied, name, "this Python was ended by a cancelled call or closed.",
                "Start another session.");
            string text = arguments.ToJsonString();
            var call = PythonRuntime.Run(() => Ask(name, text));
            await Deliver(call, log, cancellation).ConfigureAwait(false);
            if (!call.IsCompleted || cancellation.IsCancellationRequested) await Stop(name, call, log).ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
            return PythonErrors.ResultOf(name, JsonNode.Parse(await call.ConfigureAwait(false))!.AsObject());
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Ends the session on Python's side. The interpreter stays, since it cannot start a second time.</summary>
    public async ValueTask DisposeAsync()
    {
        await Task.WhenAny(End(), Task.Delay(Grace)).ConfigureAwait(false);
    }

    // Native code that still runs is waited for by Python's thread, and by nobody else.
    private Task End() => Interlocked.Exchange(ref _ended, 1) == 0 ? PythonRuntime.Run(Close) : Task.CompletedTask;

    private Task<bool> Import(ChildProcessOptions options)
    {
        string bridge = options.BridgeFolder ?? ChildProcessHost.DefaultBridgeFolder;
        if (!File.Exists(Path.Combine(bridge, "neuron_bridge", "inside.py")))
            throw new NeuronRunException(NeuronFailure.WrongPython, "start", $"there is no neuron_bridge in {bridge}.",
                "Build the library again, or give the folder lib of a clone.");
        string variables = new JsonObject((options.Environment ?? new Dictionary<string, string>()).Select(pair =>
            KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value))).ToJsonString();
        string folders = new JsonArray([.. (options.ModulePath ?? []).Append(bridge).Select(folder => (JsonNode?)Path.GetFullPath(folder))])
            .ToJsonString();
        return PythonRuntime.Run(() =>
        {
            using var json = Py.Import("json");
            using dynamic sys = Py.Import("sys");
            sys.path.insert(0, bridge);
            using var module = Py.Import(Module);
            sys.path.pop(0);
            sys.dont_write_bytecode = true;
            using var note = new Action<string>(line => _lines.Writer.TryWrite(line)).ToPython();
            using var set = json.InvokeMethod("loads", variables.ToPython());
            using var paths = json.InvokeMethod("loads", folders.ToPython());
            _inside = module.InvokeMethod("Inside", note, set, paths);
            return true;
        });
    }

    // On Python's thread, under its lock.
    private string Ask(string name, string arguments)
    {
        using var json = Py.Import("json");
        using var text = arguments.ToPython();
        using var values = json.InvokeMethod("loads", text);
        using var function = name.ToPython();
        using var answer = _inside!.InvokeMethod("call", function, values);
        return answer.As<string>();
    }

    private bool Close()
    {
        using (_inside)
        {
            using var none = _inside?.InvokeMethod("close");
        }
        _inside = null;
        Volatile.Write(ref _open, 0);
        return true;
    }

    // Lines as they come, and those that are left when the call has ended.
    private async Task Deliver(Task call, Action<string>? log, CancellationToken cancellation)
    {
        while (!call.IsCompleted && !cancellation.IsCancellationRequested)
        {
            Drain(log);
            await Task.WhenAny(call, _lines.Reader.WaitToReadAsync(cancellation).AsTask()).ConfigureAwait(false);
        }
        Drain(log);
    }

    private void Drain(Action<string>? log)
    {
        while (_lines.Reader.TryRead(out string? line)) log?.Invoke(line);
    }

    private async Task Stop(string name, Task call, Action<string>? log)
    {
        long until = Environment.TickCount64 + (long)Grace.TotalMilliseconds;
        while (!call.IsCompleted && Environment.TickCount64 < until)
        {
            var interrupting = Task.Run(PythonRuntime.Interrupt);
            await Task.WhenAny(call, Task.Delay(Beat)).ConfigureAwait(false);
            await Task.WhenAny(interrupting, Task.Delay(Beat)).ConfigureAwait(false);
        }
        bool stopped = call.IsCompleted;
        _ = call.ContinueWith(static task => task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        if (stopped) await PythonRuntime.TakeLateInterrupt().ConfigureAwait(false);
        Drain(log);
        var ending = End();
        if (stopped) await ending.ConfigureAwait(false);
        else
            throw new NeuronRunException(NeuronFailure.PythonSilent, name,
                "it was cancelled, but native code cannot be interrupted and runs on inside this process.",
                "Wait for it, or restart the notebook's kernel; a child process (ChildProcessHost) can be ended at any time.");
    }
}
