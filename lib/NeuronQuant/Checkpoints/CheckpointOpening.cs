namespace NeuronQuant.Checkpoints;

/// <summary>The part of <see cref="Checkpoint"/> that finds the files and holds index, shards and config against each other.</summary>
public sealed partial class Checkpoint
{
    private static Checkpoint OpenSingle(string path, string source)
    {
        var file = SafetensorsFile.Open(source);
        string index = System.IO.Path.Combine(System.IO.Path.GetDirectoryName(source) ?? "", CheckpointFiles.Index);
        string[] notes = path != source && File.Exists(index)
            ? [$"{source} is read and {index} is ignored: the single file has priority, as in NxD Inference. Delete the stale one."] : [];
        return new Checkpoint(path, source, [file], file.Tensors, notes);
    }

    private static Checkpoint OpenIndex(string path, string source)
    {
        var (map, totalSize) = CheckpointIndex.Read(source);
        string folder = System.IO.Path.GetDirectoryName(source) ?? "";
        var files = new Dictionary<string, SafetensorsFile>();
        try
        {
            foreach (string shard in map.Select(entry => entry.Shard).Distinct().Order(NaturalOrder.Instance))
                files.Add(shard, OpenShard(source, System.IO.Path.Combine(folder, shard)));
            var tensors = Resolve(source, map, files);
            return new Checkpoint(path, source, [.. files.Values], tensors, IndexNotes(source, tensors, files.Values, totalSize));
        }
        catch
        {
            foreach (var file in files.Values) file.Dispose();
            throw;
        }
    }

    private static SafetensorsFile OpenShard(string index, string path) => File.Exists(path) ? SafetensorsFile.Open(path)
        : throw new CheckpointException(CheckpointFailure.ShardMissing, path, null, "no such file", $"the shard that {index} names",
            "Download the missing shard.");

    private static List<TensorInfo> Resolve(string index, List<(string Tensor, string Shard)> map, Dictionary<string, SafetensorsFile> files)
    {
        var byShard = files.ToDictionary(f => f.Key, f => f.Value.Tensors.ToDictionary(t => t.Name, StringComparer.Ordinal));
        return map.ConvertAll(entry => byShard[entry.Shard].GetValueOrDefault(entry.Tensor)
            ?? throw new CheckpointException(CheckpointFailure.ShardLacksTensor, files[entry.Shard].Path, entry.Tensor, "no such tensor",
                $"it, as {index} says", "Index and shards are of different downloads: fetch both again."));
    }

    private static IEnumerable<string> IndexNotes(string index, List<TensorInfo> tensors, IEnumerable<SafetensorsFile> files, double? totalSize)
    {
        var listed = tensors.Select(t => (t.File, t.Name)).ToHashSet();
        foreach (var tensor in files.SelectMany(file => file.Tensors).Where(t => !listed.Contains((t.File, t.Name))))
            yield return $"{tensor.File}, {CheckpointException.Quote(tensor.Name)}: left out, since {index} does not place it in this shard.";
        long bytes = tensors.Sum(tensor => tensor.ByteCount);
        if (totalSize is double declared && declared != bytes)
            yield return FormattableString.Invariant($"{index}: total_size is {declared}, but the tensors have {bytes} bytes together.");
    }

    private static CheckpointException NoCheckpoint(string folder)
    {
        string[] candidates = [.. Directory.EnumerateFiles(folder).Select(f => System.IO.Path.GetFileName(f)!)
            .Where(name => System.IO.Path.GetExtension(name) is ".safetensors" or ".bin").Order(StringComparer.Ordinal).Take(5)];
        return new(CheckpointFailure.NoCheckpoint, folder, null, candidates.Length == 0 ? "no weights" : $"only {string.Join(", ", candidates)}",
            $"{CheckpointFiles.Single} or {CheckpointFiles.Index}",
            "Give the path of the .safetensors file itself, or convert .bin weights with save_pretrained(safe_serialization=True).");
    }
}
