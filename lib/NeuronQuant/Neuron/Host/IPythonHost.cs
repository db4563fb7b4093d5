using System.Text.Json.Nodes;

namespace NeuronQuant.Neuron;

/// <summary>
/// A Python that runs lib/neuron_bridge: one call at a time, JSON in and JSON out. The library has <see cref="ChildProcessHost"/>; an
/// adapter may run Python in process.
/// </summary>
public interface IPythonHost : IAsyncDisposable
{
    /// <summary>Which Python, and how it was found.</summary>
    string Description { get; }

    /// <summary>Calls a function of the bridge.</summary>
    /// <param name="name">open, compile, load, generate, …</param>
    /// <param name="arguments">its arguments</param>
    /// <param name="log">told every line that Python or a tool that it runs prints; from another thread</param>
    /// <param name="cancellation">ends the call, and with it the host: native code cannot be stopped otherwise</param>
    /// <exception cref="NeuronRunException">the function failed, or Python died or fell silent</exception>
    /// <exception cref="OperationCanceledException">cancellation was asked for; nothing of the call is left running</exception>
    Task<JsonNode> Call(string name, JsonObject arguments, Action<string>? log = null, CancellationToken cancellation = default);
}
