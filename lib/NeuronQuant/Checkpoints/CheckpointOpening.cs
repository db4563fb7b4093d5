namespace NeuronQuant.Checkpoints;

/// <summary>The part of <see cref="Checkpoint"/> that finds the files and holds index, shards and config against each other.</summary>
/// <remarks>
/// An index may list tensors that no shard has. When config.json asks for one, the download is not whole and that is an error; when it does not
/// (heads for other tasks, layers for speculation), it is a note. Without a config that this library reads, every missing one is an error.
/// </remarks>
public sealed partial class Checkpoint
{
    private const int MostNames = 3; // Missing tensors that a note names; the rest is counted.

    private static Checkpoint OpenSingle(string path, string source)
    {
        var file = SafetensorsFile.Open(source);
        string index = System.IO.Path.Combine(System.IO.Path.GetDirectoryName(source) ?? "", CheckpointFiles.Index);
        var notes = OwnFolderNote(source).ToList();
        if (path != source && File.Exists(index))
            notes.Insert(0, $"{source} is read and {index} is ignored: the single file has priority, as in NxD Inference. Delete the stale one.");
        return new Checkpoint(path, source, [file], file.Tensors, notes);
    }

    private static Checkpoint OpenIndex(string path, string source)
    {
        var (map, totalSize) = CheckpointIndex.Read(source);
        string folder = System.IO.Path.GetDirectoryName(source) ?? "";
        var needed = new Lazy<HashSet<ModuleName>?>(() => ModulesOf(System.IO.Path.Combine(folder, CheckpointFiles.Config)));
        var files = new Dictionary<string, SafetensorsFile>();
        var absent = new List<string>();
        try
        {
            foreach (var shard in map.GroupBy(entry => entry.Shard).OrderBy(group => group.Key, NaturalOrder.Instance))
            {
                string file = System.IO.Path.Combine(folder, shard.Key);
                if (File.Exists(file) && FileKind.DanglingTarget(file) is null) files.Add(shard.Key, SafetensorsFile.Open(file));
                else if (shard.Any(entry => IsNeeded(entry.Tensor, needed))) throw MissingShard(source, file);
            }
            var tensors = Resolve(source, map, files, needed, absent);
            return new Checkpoint(path, source, [.. files.Values], tensors,
                [.. IndexNotes(source, tensors, files.Values, totalSize, absent), .. OwnFolderNote(source)]);
        }
        catch
        {
            foreach (var file in files.Values) file.Dispose();
            throw;
        }
    }

    private static CheckpointException MissingShard(string index, string path) =>
        FileKind.Missing(CheckpointFailure.ShardMissing, path, $"the shard that {index} names", "Download the missing shard.");

    private static List<TensorInfo> Resolve(string index, List<(string Tensor, string Shard)> map, Dictionary<string, SafetensorsFile> files,
        Lazy<HashSet<ModuleName>?> needed, List<string> absent)
    {
        var byShard = files.ToDictionary(f => f.Key, f => f.Value.Tensors.ToDictionary(t => t.Name, StringComparer.Ordinal));
        var tensors = new List<TensorInfo>(map.Count);
        foreach (var (name, shard) in map)
            if (byShard.TryGetValue(shard, out var held) && held.TryGetValue(name, out var tensor)) tensors.Add(tensor);
            else if (!IsNeeded(name, needed)) absent.Add(name);
            else throw new CheckpointException(CheckpointFailure.ShardLacksTensor, files[shard].Path, name, "no such tensor",
                $"it, as {index} says", "Index and shards are of different downloads: fetch both again.");
        return tensors;
    }

    // A module's scale is needed with its weight, hence modules and not tensors.
    private static bool IsNeeded(string tensor, Lazy<HashSet<ModuleName>?> needed) =>
        needed.Value is not { } modules || modules.Contains(ModuleName.OfTensor(tensor, out _));

    private static HashSet<ModuleName>? ModulesOf(string config)
    {
        try
        {
            return [.. ExpectedTensors.Of(ModelConfig.Read(config)).Select(tensor => tensor.Module)];
        }
        catch (CheckpointException)
        {
            return null;
        }
    }

    private static IEnumerable<string> IndexNotes(string index, List<TensorInfo> tensors, IEnumerable<SafetensorsFile> files, double? totalSize,
        List<string> absent)
    {
        var listed = tensors.Select(t => (t.File, t.Name)).ToHashSet();
        foreach (var tensor in files.SelectMany(file => file.Tensors).Where(t => !listed.Contains((t.File, t.Name))))
            yield return $"{tensor.File}, {CheckpointException.Quote(tensor.Name)}: left out, since {index} does not place it in this shard.";
        if (absent.Count > 0)
            yield return $"{index} lists {absent.Count} tensors that no shard has and config.json does not ask for: "
                + $"{string.Join(", ", absent.Take(MostNames).Select(CheckpointException.Quote))}{(absent.Count > MostNames ? ", ..." : "")}.";
        long bytes = tensors.Sum(tensor => tensor.ByteCount);
        if (absent.Count == 0 && totalSize is double declared && declared != bytes)
            yield return FormattableString.Invariant($"{index}: total_size is {declared}, but the tensors have {bytes} bytes together.");
    }

    private static IEnumerable<string> OwnFolderNote(string source)
    {
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(source))!;
        if (File.Exists(System.IO.Path.Combine(folder, CheckpointFiles.Record)))
            yield return $"{folder} is a folder that this library quantized ({CheckpointFiles.Record}), not an original model: "
                + "its weights carry that quantization's error.";
    }

    private static CheckpointException NoCheckpoint(string folder)
    {
        string[] shards = [.. CheckpointFiles.Shards(folder).Select(f => System.IO.Path.GetFileName(f)!).Order(StringComparer.Ordinal)];
        if (shards.Length > 0)
            return new(CheckpointFailure.NoCheckpoint, folder, null, $"{shards.Length} shards ({shards[0]} ...) without their index",
                CheckpointFiles.Index, $"Fetch {CheckpointFiles.Index} from the same download{Fetch(folder)}.");
        string? dangling = new[] { CheckpointFiles.Single, CheckpointFiles.Index }.Select(name => System.IO.Path.Combine(folder, name))
            .FirstOrDefault(path => FileKind.DanglingTarget(path) is not null);
        if (dangling is not null) return FileKind.Missing(CheckpointFailure.NoCheckpoint, dangling, "the weights", "Fetch them again.");
        string[] candidates = [.. Directory.EnumerateFiles(folder).Select(f => System.IO.Path.GetFileName(f)!)
            .Where(name => System.IO.Path.GetExtension(name) is ".safetensors" or ".bin" or ".pt" or ".pth" or ".gguf" or ".h5")
            .Order(StringComparer.Ordinal).Take(5)];
        string remedy = candidates.Any(name => System.IO.Path.GetExtension(name) == ".gguf")
            ? "GGUF is llama.cpp's format: use the original safetensors checkpoint."
            : $"Give the path of the .safetensors file itself{Fetch(folder)}, or convert .bin weights with save_pretrained(safe_serialization=True).";
        return new(CheckpointFailure.NoCheckpoint, folder, null, candidates.Length == 0 ? "no weights" : $"only {string.Join(", ", candidates)}",
            $"{CheckpointFiles.Single} or {CheckpointFiles.Index}", remedy);
    }

    private static string Fetch(string folder) => HubCache.DownloadCommand(folder) is { } command ? $", with: {command}" : "";
}
