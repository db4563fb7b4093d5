using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace NeuronQuant.Neuron;

/// <summary>
/// Runs the bridge in a child process: requests and answers as lines of JSON over its streams. A child that dies or falls silent is noticed
/// and named, with its last lines; whatever ends a call early ends the whole group of processes.
/// </summary>
/// <remarks>Variables are set when the process is created: a change from within .NET would not reach the environment that native libraries
/// read.</remarks>
public sealed class ChildProcessHost : IPythonHost
{
    private const int TailLines = 40;
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100), DefaultSilence = TimeSpan.FromMinutes(15),
        DefaultPatience = TimeSpan.FromMinutes(1), Farewell = TimeSpan.FromSeconds(2);

    private readonly Process _process;
    private readonly TimeSpan _silence;
    private readonly SemaphoreSlim _turn = new(1);
    private readonly Queue<string> _tail = new();
    private readonly Task _reading;
    private readonly Lock _gate = new();
    private TaskCompletionSource<JsonObject>? _pending;
    private Action<string>? _log;
    private long _lastSign = Stopwatch.GetTimestamp();
    private int _nextId;
    private bool _ended;

    private ChildProcessHost(Process process, string description, TimeSpan silence)
    {
        (_process, Description, _silence) = (process, description, silence);
        _reading = Task.WhenAll(Task.Run(ReadAnswers), Task.Run(ReadErrors));
    }

    /// <inheritdoc/>
    public string Description { get; }

    /// <summary>The child's process id, which is its group's as well.</summary>
    public int ProcessId => _process.Id;

    /// <summary>The bridge that was built beside the library.</summary>
    public static string DefaultBridgeFolder { get; } = Path.GetDirectoryName(typeof(ChildProcessHost).Assembly.Location) ?? "";

    /// <summary>Starts Python.</summary>
    /// <exception cref="NeuronRunException">there is no interpreter, or it cannot run the bridge</exception>
    public static async Task<ChildProcessHost> Start(ChildProcessOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= new ChildProcessOptions();
        var interpreter = PythonInterpreter.Find(options.Interpreter);
        string bridge = options.BridgeFolder ?? DefaultBridgeFolder;
        if (!File.Exists(Path.Combine(bridge, "neuron_bridge", "__main__.py")))
            throw new NeuronRunException(NeuronFailure.WrongPython, "start", $"there is no neuron_bridge in {bridge}.",
                "Build the library again, or give the folder lib of a clone.");
        var host = new ChildProcessHost(Launch(interpreter, bridge, options), $"{interpreter.Path} (from {interpreter.Origin})",
            options.Silence ?? DefaultSilence);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(options.Patience ?? DefaultPatience);
        try
        {
            _ = await host.Call("environment", [], null, patience.Token).ConfigureAwait(false);
            return host;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            await host.DisposeAsync().ConfigureAwait(false);
            throw new NeuronRunException(NeuronFailure.WrongPython, "start", $"{host.Description} was started and did not answer.",
                "Is it a Python? Choose one of 3.10 to 3.12 with NEURON_PYTHON.");
        }
        catch (NeuronRunException error) when (error.Failure == NeuronFailure.PythonDied)
        {
            await host.DisposeAsync().ConfigureAwait(false);
            throw new NeuronRunException(NeuronFailure.WrongPython, "start", $"{host.Description} did not start the bridge; {error.Message}",
                "Choose a Python of 3.10 to 3.12 with NEURON_PYTHON or the host's option.", traceback: error.Traceback);
        }
        catch
        {
            await host.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <inheritdoc/>
    public async Task<JsonNode> Call(string name, JsonObject arguments, Action<string>? log = null, CancellationToken cancellation = default)
    {
        await _turn.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            var answer = Ask(name, arguments, log);
            return PythonErrors.ResultOf(name, await Watch(name, answer, cancellation).ConfigureAwait(false));
        }
        finally
        {
            lock (_gate) (_pending, _log) = (null, null);
            _turn.Release();
        }
    }

    /// <summary>Ends the child: politely when it is idle, and with all that it started when it does not listen.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_ended) return;
        _ended = true;
        try
        {
            _process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It is gone already.
        }
        await Task.WhenAny(_process.WaitForExitAsync(), Task.Delay(Farewell)).ConfigureAwait(false);
        ProcessGroup.End(_process);
        await Task.WhenAny(_reading, Task.Delay(Farewell)).ConfigureAwait(false);
        _process.Dispose();
        _turn.Dispose();
    }

    private static Process Launch(PythonInterpreter interpreter, string bridge, ChildProcessOptions options)
    {
        var start = new ProcessStartInfo(interpreter.Path, ["-B", "-u", "-m", "neuron_bridge"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
            StandardInputEncoding = new UTF8Encoding(false),
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        foreach (var (name, value) in options.Environment ?? new Dictionary<string, string>()) start.Environment[name] = value;
        start.Environment["PYTHONPATH"] = string.Join(Path.PathSeparator, [.. options.ModulePath ?? [], bridge]);
        try
        {
            return Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception error)
        {
            throw new NeuronRunException(NeuronFailure.NoPython, "start",
                $"{interpreter.Path} (from {interpreter.Origin}) cannot be run: {error.Message}.",
                "Give the path of an interpreter with NEURON_PYTHON or the host's option.");
        }
    }

    private Task<JsonObject> Ask(string name, JsonObject arguments, Action<string>? log)
    {
        var pending = new TaskCompletionSource<JsonObject>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate) (_pending, _log, _lastSign) = (pending, log, Stopwatch.GetTimestamp());
        var request = new JsonObject { ["id"] = ++_nextId, ["call"] = name, ["arguments"] = arguments.DeepClone() };
        try
        {
            _process.StandardInput.WriteLine(request.ToJsonString());
            _process.StandardInput.Flush();
        }
        catch (Exception error) when (error is IOException or ObjectDisposedException or InvalidOperationException)
        {
            // The child is gone; the watch says so with its exit code.
        }
        return pending.Task;
    }

    // Waits for the answer, the child's end, silence or cancellation, whichever comes first.
    private async Task<JsonObject> Watch(string name, Task<JsonObject> answer, CancellationToken cancellation)
    {
        while (!answer.IsCompleted)
        {
            if (cancellation.IsCancellationRequested) await EndGroup().ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
            if (_process.HasExited) return await AfterExit(name, answer).ConfigureAwait(false);
            if (Stopwatch.GetElapsedTime(Interlocked.Read(ref _lastSign)) > _silence)
            {
                await EndGroup().ConfigureAwait(false);
                throw new NeuronRunException(NeuronFailure.PythonSilent, name,
                    FormattableString.Invariant($"the Python process gave no sign of life for {_silence.TotalSeconds:0.#} s, and was ended."),
                    "Its last lines are in the error. If native code needs longer, allow a longer silence.", traceback: Tail());
            }
            await Task.WhenAny(answer, Task.Delay(Tick, CancellationToken.None)).ConfigureAwait(false);
        }
        return await answer.ConfigureAwait(false);
    }

    // What the child said last may still be in the pipe. A worker of its may hold the pipe open, so it is ended first.
    private async Task<JsonObject> AfterExit(string name, Task<JsonObject> answer)
    {
        int code = _process.ExitCode;
        await EndGroup().ConfigureAwait(false);
        return answer.IsCompletedSuccessfully ? await answer.ConfigureAwait(false) : throw PythonErrors.Died(name, code, Tail());
    }

    private async Task EndGroup()
    {
        ProcessGroup.End(_process);
        await Task.WhenAny(Task.WhenAll(_process.WaitForExitAsync(), _reading), Task.Delay(Farewell)).ConfigureAwait(false);
    }

    private async Task ReadAnswers()
    {
        while (await _process.StandardOutput.ReadLineAsync().ConfigureAwait(false) is { } line)
        {
            Interlocked.Exchange(ref _lastSign, Stopwatch.GetTimestamp());
            if (Parse(line) is not { } message) Note(line);
            else if ((string?)message["event"] == "log") Note((string?)message["line"] ?? "");
            else if ((string?)message["event"] is "result" or "error")
                lock (_gate) _pending?.TrySetResult(message);
        }
    }

    private async Task ReadErrors()
    {
        while (await _process.StandardError.ReadLineAsync().ConfigureAwait(false) is { } line)
        {
            Interlocked.Exchange(ref _lastSign, Stopwatch.GetTimestamp());
            Note(line);
        }
    }

    private static JsonObject? Parse(string line)
    {
        try
        {
            return JsonNode.Parse(line) as JsonObject;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private void Note(string line)
    {
        Action<string>? log;
        lock (_gate)
        {
            _tail.Enqueue(line);
            if (_tail.Count > TailLines) _tail.Dequeue();
            log = _log;
        }
        log?.Invoke(line);
    }

    private string Tail()
    {
        lock (_gate) return string.Join('\n', _tail);
    }
}
