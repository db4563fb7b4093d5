using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;

namespace NeuronQuant.Neuron;

/// <summary>
/// Compiled graphs, kept by what a graph depends on: every option but the weights' path, the class, the release, the model's config. Weights
/// are no part of a graph, so other integers under the same plan need no compiling: sweeps over values are cheap, sweeps over modules are not.
/// </summary>
/// <remarks>
/// A folder appears whole or not at all: it is compiled beside its place and moved there. What a killed process left behind is removed by the
/// next compile of the same graph. Weights that are sharded into the compiled folder (save_sharded_checkpoint) would go stale unseen, so that
/// option is refused. Source: nxd-inference application_base.py:292-315 at SDK 2.28, compile with initialize_model_weights=False.
/// </remarks>
public sealed class CompileCache
{
    private const string Mark = "neuronquant-graph.json", PartialMark = ".partial-";
    private readonly string _root;

    /// <summary>A cache in a folder.</summary>
    public CompileCache(string root) => _root = root;

    /// <summary>What the graph of a set-up depends on; equal keys, equal graphs.</summary>
    /// <param name="setup">options, class, release</param>
    /// <param name="modelPath">the model's folder, of which config.json counts</param>
    /// <exception cref="NeuronException">the options would put weights into the compiled folder</exception>
    public static string KeyOf(NeuronSetup setup, string modelPath) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Describe(setup, modelPath).ToJsonString())))[..16];

    /// <summary>Where a graph is, or would be.</summary>
    public string PathOf(NeuronSetup setup, string modelPath) => Path.Combine(_root, $"{NameOf(modelPath)}-{KeyOf(setup, modelPath)}");

    /// <summary>True when the graph is compiled.</summary>
    public bool Has(NeuronSetup setup, string modelPath) => File.Exists(Path.Combine(PathOf(setup, modelPath), Mark));

    /// <summary>Gives the compiled folder, compiling it when it is not there.</summary>
    /// <param name="setup">what to compile</param>
    /// <param name="modelPath">the model's folder</param>
    /// <param name="compile">compiles into the folder that it is given</param>
    /// <returns>the folder, and whether it was there already</returns>
    public async Task<(string Path, bool Reused)> GetOrCompile(NeuronSetup setup, string modelPath, Func<string, Task> compile)
    {
        string target = PathOf(setup, modelPath);
        if (Has(setup, modelPath)) return (target, true);
        Directory.CreateDirectory(_root);
        foreach (string left in Directory.EnumerateDirectories(_root, $"{Path.GetFileName(target)}{PartialMark}*")) RemoveOwnerless(left);
        string partial = $"{target}{PartialMark}{Environment.ProcessId}";
        try
        {
            Directory.CreateDirectory(partial);
            await compile(partial).ConfigureAwait(false);
            File.WriteAllText(Path.Combine(partial, Mark), Describe(setup, modelPath).ToJsonString(ConfigJson.Indented) + "\n");
            if (Has(setup, modelPath)) Directory.Delete(partial, recursive: true); // Another process was first with the same graph.
            else
            {
                if (Directory.Exists(target)) Directory.Delete(target, recursive: true); // Without the mark: not a finished one.
                Directory.Move(partial, target);
            }
        }
        catch
        {
            if (Directory.Exists(partial)) Directory.Delete(partial, recursive: true);
            throw;
        }
        return (target, false);
    }

    private static JsonObject Describe(NeuronSetup setup, string modelPath)
    {
        if (setup.Config.Flag("save_sharded_checkpoint"))
            throw new NeuronException("save_sharded_checkpoint", "puts weights into the compiled folder, where they would stay when the checkpoint "
                + "changes. Remove it; weights are sharded when they are loaded.");
        var options = setup.Config.ToJsonObject();
        options.Remove("quantized_checkpoints_path");
        var ordered = new JsonObject(options.OrderBy(option => option.Key, StringComparer.Ordinal).Select(option =>
            KeyValuePair.Create(option.Key, option.Value?.DeepClone())));
        string config = Path.Combine(HubCache.Resolve(modelPath), "config.json");
        return new JsonObject
        {
            ["sdk"] = $"{setup.Sdk}",
            ["model_class"] = setup.ModelClass,
            ["config_sha256"] = File.Exists(config) ? Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(config))) : null,
            ["neuron_config"] = ordered,
        };
    }

    // A folder whose process lives may be at work; process ids are reused, which at worst keeps a folder for one more run.
    private static void RemoveOwnerless(string folder)
    {
        string id = folder[(folder.LastIndexOf('-') + 1)..];
        if (int.TryParse(id, out int process) && process != Environment.ProcessId && IsAlive(process)) return;
        Directory.Delete(folder, recursive: true);
    }

    private static bool IsAlive(int process)
    {
        try
        {
            using var found = System.Diagnostics.Process.GetProcessById(process);
            return !found.HasExited;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    private static string NameOf(string modelPath) =>
        Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(HubCache.Resolve(modelPath))));
}
