using System.Text.RegularExpressions;

namespace NeuronQuant.Checkpoints;

/// <summary>The file names by which a folder is a checkpoint, and which of them wins.</summary>
/// <remarks>
/// model.safetensors comes before model.safetensors.index.json, the priority of NxD Inference's loader
/// (neuronx_distributed_inference, modules/checkpoint.py). A stale single file beside new shards is therefore what the device would
/// run, so the reader follows the same rule and says so, and the writer removes what would win over it.
/// </remarks>
internal static partial class CheckpointFiles
{
    public const string Single = "model.safetensors";
    public const string Index = "model.safetensors.index.json";
    public const string Config = "config.json";

    /// <summary>The record that a quantization leaves beside the weights.</summary>
    public const string Record = "neuronquant.json";

    /// <summary>Folder of a writer at work, inside the target; left behind only by a process that was killed.</summary>
    public const string Partial = ".partial-checkpoint";

    /// <summary>Name of a shard, counted from 1: model-00002-of-00005.safetensors.</summary>
    public static string Shard(int number, int count) => FormattableString.Invariant($"model-{number:D5}-of-{count:D5}.safetensors");

    /// <summary>The shards in a folder, whatever their count, whether or not an index names them.</summary>
    public static IEnumerable<string> Shards(string folder) =>
        Directory.EnumerateFiles(folder).Where(path => ShardPattern().IsMatch(Path.GetFileName(path)));

    /// <summary>The file that makes a folder a checkpoint: the single file, else the index, else null.</summary>
    public static string? Choose(string folder) =>
        new[] { Single, Index }.Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists);

    [GeneratedRegex(@"^model-\d{5,}-of-\d{5,}\.safetensors$", RegexOptions.CultureInvariant)]
    private static partial Regex ShardPattern();
}
