using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.Neuron;

/// <summary>What compiling gave.</summary>
/// <param name="Folder">the compiled folder: copy it, or the folder around it, to the host</param>
/// <param name="Reused">whether it was there already</param>
/// <param name="Target">the chip that it is for</param>
/// <param name="HasDevice">whether this machine has a device to load it</param>
/// <param name="StandIn">whether something stood in for the compiler</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record CompiledGraph(string Folder, bool Reused, string Target, bool HasDevice, bool StandIn)
{
    /// <summary>What this proves, and what it does not.</summary>
    public const string Meaning =
        "It proves that the compiler takes the graph of this configuration. It reads no weight: it does not prove that a folder "
        + "loads, nor what a chip computes.";

    /// <summary>The result as rows.</summary>
    public DataFrame ToDataFrame() => new FrameRows($"{this}", "what", "value").Row("folder", Folder)
        .Row("compiled now", Reused ? "no, it was there" : "yes").Row("for", Target)
        .Row("device of this machine", HasDevice ? "present" : "none: it compiled for a chip that is not here");

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <inheritdoc/>
    public override string ToString() => $"Graph for {Target}{(StandIn ? ", by a stand-in: no statement about the compiler" : "")}";
}

/// <summary>
/// Compiles for Inferentia2 and loads nothing: on an Inf2 host, or on a larger and cheaper machine without a device, whose graph is then
/// copied. Each thing that it lacks is an error of its own: NxD Inference, the target, the compiler, memory.
/// </summary>
public static class HostCompile
{
    /// <summary>Compiles, or finds the graph in the folder of graphs.</summary>
    /// <param name="setup">the configuration</param>
    /// <param name="modelPath">the folder with config.json; its weights are not read</param>
    /// <param name="options">which Python, and where graphs are kept</param>
    /// <param name="cancellation">ends Python and the compiler</param>
    /// <exception cref="NeuronRunException">the configuration has errors, something is missing, or the compiler failed; its codes are
    /// kept</exception>
    public static async Task<CompiledGraph> Run(NeuronSetup setup, string modelPath, DeviceOptions options, CancellationToken cancellation = default)
    {
        var host = await ChildProcessHost.Start(options.ToChildProcess(), cancellation).ConfigureAwait(false);
        var session = await NeuronSession.Start(host, setup, modelPath, new SessionOptions(options.CacheFolder, NeedDevice: false, options.Log),
            cancellation).ConfigureAwait(false);
        await using (session)
        {
            bool reused = await session.Compile(cancellation).ConfigureAwait(false);
            return new CompiledGraph(session.CompiledPath!, reused, session.Target, session.Environment.Devices.Count > 0,
                options.StandIn.Length > 0);
        }
    }
}
