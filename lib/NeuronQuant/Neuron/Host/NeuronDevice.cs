using NeuronQuant.Checkpoints;
using NeuronQuant.Display;

namespace NeuronQuant.Neuron;

/// <summary>Where a run on a device gets its Python from.</summary>
/// <param name="Python">"none" to start nothing; "auto" to look for one, see <see cref="PythonInterpreter"/>; else an interpreter or an
/// environment</param>
/// <param name="CacheFolder">where compiled graphs are kept</param>
/// <param name="StandIn">a folder with modules and tools in place of NxD Inference and its device, such as tests/python/fake; empty for the real
/// ones</param>
/// <param name="Log">told every line that Python or a tool prints</param>
public sealed record DeviceOptions(string Python, string CacheFolder, string StandIn = "", Action<string>? Log = null)
{
    /// <summary>The word for no Python at all.</summary>
    public const string None = "none";

    /// <summary>The word for whichever Python is found.</summary>
    public const string Auto = "auto";

    /// <summary>The same, with every line written to a file; nothing is written, and no file made, while nothing is run.</summary>
    public DeviceOptions LoggedTo(string path)
    {
        var gate = new Lock();
        return this with
        {
            Log = line =>
            {
                lock (gate) File.AppendAllText(path, line + "\n");
            },
        };
    }

    /// <summary>The child process that these options ask for.</summary>
    public ChildProcessOptions ToChildProcess()
    {
        string? interpreter = Python == Auto ? null : Python;
        if (StandIn.Length == 0) return new ChildProcessOptions(interpreter);
        string folder = Path.GetFullPath(StandIn), tools = $"{folder}{Path.PathSeparator}{Environment.GetEnvironmentVariable("PATH")}";
        return new ChildProcessOptions(interpreter, new Dictionary<string, string> { ["PATH"] = tools }, ModulePath: [folder]);
    }
}

/// <summary>One step of a run: its result, or a note that it was not run.</summary>
/// <param name="Name">compile, load, …</param>
/// <param name="Result">what the step gave; null when it was not run</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record DeviceStep<T>(string Name, T? Result) where T : class
{
    /// <summary>The result's own HTML, or the note.</summary>
    public string ToHtml() => Result?.GetType().GetMethod("ToHtml", Type.EmptyTypes)?.Invoke(Result, null) as string
        ?? $"<p>{System.Net.WebUtility.HtmlEncode(ToString())}</p>";

    /// <inheritdoc/>
    public override string ToString() => Result is null ? $"{Name}: not run, because no Python was asked for" : $"{Name}: {Result}";
}

/// <summary>
/// A run on a device as a lesson goes through it: the same steps are asked for with and without a device, and without one each says that it
/// was not run. So one notebook is the preparation on a laptop and the job on an Inf2 host.
/// </summary>
/// <remarks>
/// Nothing is guessed from the machine: with "none" no Python is looked for, so that the outputs are the same everywhere. A step that fails
/// ends Python and all that it started before the error is passed on, since a notebook stops there and would not dispose anything.
/// </remarks>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed class NeuronDevice : IAsyncDisposable
{
    private NeuronDevice(NeuronSession? session, bool isStandIn) => (Session, IsStandIn) = (session, isStandIn);

    /// <summary>The session; null when none was asked for.</summary>
    public NeuronSession? Session { get; }

    /// <summary>True when something stands in for the device: nothing is then a measurement.</summary>
    public bool IsStandIn { get; }

    /// <summary>Starts Python and opens the model, or does neither when the options say "none".</summary>
    /// <exception cref="NeuronRunException">there is no such Python, it lacks something, or the set-up has errors</exception>
    public static async Task<NeuronDevice> Open(NeuronSetup setup, string modelPath, DeviceOptions options, CancellationToken cancellation = default)
    {
        if (options.Python == DeviceOptions.None) return new NeuronDevice(null, false);
        bool standIn = options.StandIn.Length > 0;
        if (standIn && !Directory.Exists(options.StandIn))
            throw new NeuronException("stand-in", $"there is no folder '{options.StandIn}'. Leave it empty on a host.");
        var python = await PythonHosts.Open(options.ToChildProcess(), cancellation).ConfigureAwait(false);
        options.Log?.Invoke($"{python}");
        var around = new SessionOptions(Path.GetFullPath(options.CacheFolder), NeedDevice: !standIn, options.Log);
        return new NeuronDevice(await NeuronSession.Start(python.Host, Located(setup), Path.GetFullPath(HubCache.Resolve(modelPath)), around,
            cancellation).ConfigureAwait(false), standIn);
    }

    /// <summary>Runs a step, or says that it was not run.</summary>
    /// <param name="name">what the step is called</param>
    /// <param name="work">the step</param>
    /// <param name="cancellation">ends the step, and with it Python</param>
    public async Task<DeviceStep<T>> Do<T>(string name, Func<NeuronSession, CancellationToken, Task<T>> work,
        CancellationToken cancellation = default)
        where T : class
    {
        if (Session is null) return new DeviceStep<T>(name, null);
        try
        {
            return new DeviceStep<T>(name, await work(Session, cancellation).ConfigureAwait(false));
        }
        catch
        {
            await DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Ends Python and everything that it started.</summary>
    public ValueTask DisposeAsync() => Session?.DisposeAsync() ?? ValueTask.CompletedTask;

    /// <summary>What the Python side found, or that none was asked for.</summary>
    public string ToHtml() => (Session is null || IsStandIn ? $"<p>{this}</p>" : "") + Session?.Environment.ToDataFrame().ToHtml();

    /// <inheritdoc/>
    public override string ToString() => Session is null ? "No Python was asked for: what follows is prepared, and not run."
        : IsStandIn ? "Something stands in for NxD Inference and its device: nothing that follows is a measurement."
        : $"Python {Session.Environment.Python}, SDK {Session.Environment.Sdk ?? "unknown"}, {Session.Environment.Devices.Count} Neuron devices";

    // Python may run in another folder than the notebook, so it is told whole paths.
    private static NeuronSetup Located(NeuronSetup setup) => setup.Config.QuantizedCheckpointsPath is { Length: > 0 } folder
        ? setup with { Config = setup.Config.With("quantized_checkpoints_path", Path.GetFullPath(folder)) } : setup;
}
