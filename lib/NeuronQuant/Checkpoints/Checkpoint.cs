using System.Collections.Immutable;

namespace NeuronQuant.Checkpoints;

/// <summary>A model's weights on disk, one file or many, read where they lie.</summary>
/// <remarks>
/// Open takes a .safetensors file, an index, or a folder; in a folder the single file wins over the index, as in NxD Inference's loader.
/// Opening reads headers only: 24 GB in shards open in milliseconds. Whatever is odd but not fatal is said in <see cref="Notes"/>. The
/// span of <see cref="Bytes"/> points into the file and must not outlive this object. Reading from several threads is fine.
/// </remarks>
public sealed class Checkpoint : IDisposable
{
    private readonly Dictionary<string, SafetensorsFile> _files;
    private readonly Dictionary<string, TensorInfo> _tensors;
    private readonly Lazy<ModelConfig> _config;
    private bool _disposed;

    private Checkpoint(string path, string source, IReadOnlyList<SafetensorsFile> files, IEnumerable<TensorInfo> tensors, IEnumerable<string> notes)
    {
        (Path, Source, Notes) = (path, source, [.. notes]);
        _files = files.ToDictionary(file => file.Path);
        _tensors = tensors.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
        Tensors = [.. _tensors.Values.Order(Comparer<TensorInfo>.Create((x, y) => ModuleName.CompareTensors(x.Name, y.Name)))];
        ConfigPath = System.IO.Path.Combine(System.IO.Path.GetDirectoryName(source) ?? "", CheckpointFiles.Config);
        _config = new Lazy<ModelConfig>(() => ModelConfig.Read(ConfigPath));
    }

    /// <summary>The path that was opened.</summary>
    public string Path { get; }

    /// <summary>The file that was chosen: a .safetensors file or an index.</summary>
    public string Source { get; }

    /// <summary>What a careful reader should know: a file that lost to another by priority, tensors that the index leaves out.</summary>
    public ImmutableArray<string> Notes { get; }

    /// <summary>The opened files.</summary>
    public IReadOnlyCollection<string> Files => _files.Keys;

    /// <summary>All tensors in the order of a forward pass: embedding, layers by number, norm, lm_head, then unknown names.</summary>
    public ImmutableArray<TensorInfo> Tensors { get; }

    /// <summary>Bytes of all tensors together.</summary>
    public long ByteCount => Tensors.Sum(tensor => tensor.ByteCount);

    /// <summary>Where config.json is looked for: beside the weights.</summary>
    public string ConfigPath { get; }

    /// <summary>True when there is a config.json beside the weights.</summary>
    public bool HasConfig => File.Exists(ConfigPath);

    /// <summary>The model's config, read at first use.</summary>
    /// <exception cref="CheckpointException">config.json is missing or not of a model that this library knows.</exception>
    public ModelConfig Config => _config.Value;

    /// <summary>A tensor by its exact name.</summary>
    /// <exception cref="CheckpointException">There is no such tensor; the message offers the nearest name.</exception>
    public TensorInfo this[string name] => _tensors.TryGetValue(name, out var tensor) ? tensor : throw NotFound(name);

    /// <summary>Opens a checkpoint: a .safetensors file, a *.index.json or a folder with one of them.</summary>
    /// <exception cref="CheckpointException">There is none, or it is damaged.</exception>
    public static Checkpoint Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string source = Directory.Exists(path) ? CheckpointFiles.Choose(path) ?? throw NoCheckpoint(path) : path;
        return source.EndsWith(".index.json", StringComparison.Ordinal) ? OpenIndex(path, source) : OpenSingle(path, source);
    }

    /// <summary>True when a tensor has this exact name.</summary>
    public bool Contains(string name) => _tensors.ContainsKey(name);

    /// <summary>A tensor by its exact name or null.</summary>
    public TensorInfo? Find(string name) => _tensors.GetValueOrDefault(name);

    /// <summary>A module's tensor (weight, bias, scale), stored with or without "model." in front; null when there is none.</summary>
    public TensorInfo? Find(ModuleName module, string parameter)
    {
        ArgumentNullException.ThrowIfNull(module);
        return Find($"{module.HuggingFaceName}.{parameter}") ?? Find($"{module.Name}.{parameter}");
    }

    /// <summary>Part of a tensor's bytes, in place: count bytes from offset, both within the tensor. Valid until Dispose.</summary>
    public ReadOnlySpan<byte> Bytes(TensorInfo tensor, long offset, int count) => FileOf(tensor).Bytes(tensor, offset, count);

    /// <summary>Decodes elements to float: as many as the destination is long, from firstElement on in C order.</summary>
    /// <exception cref="CheckpointException">The type cannot be read as floats.</exception>
    public void ReadFloats(TensorInfo tensor, long firstElement, Span<float> destination) =>
        FileOf(tensor).ReadFloats(tensor, firstElement, destination);

    /// <summary>Unmaps all files; spans handed out before are invalid from now on.</summary>
    public void Dispose()
    {
        _disposed = true;
        foreach (var file in _files.Values) file.Dispose();
    }

    private SafetensorsFile FileOf(TensorInfo tensor)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentNullException.ThrowIfNull(tensor);
        return _files.TryGetValue(tensor.File, out var file) ? file
            : throw new ArgumentOutOfRangeException(nameof(tensor), $"{tensor.Name} of {tensor.File} is not a tensor of {Path}.");
    }

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

    private CheckpointException NotFound(string name)
    {
        string module = ModuleName.OfTensor(name, out string parameter).Name;
        var near = _tensors.Keys.FirstOrDefault(key => ModuleName.OfTensor(key, out string other).Name == module && other == parameter)
            ?? _tensors.Keys.FirstOrDefault(key => ModuleName.OfTensor(key, out _).Name == module) ?? Tensors.FirstOrDefault()?.Name ?? "none";
        return new(CheckpointFailure.TensorNotFound, Path, name, "no such tensor",
            $"one of {_tensors.Count}, such as {CheckpointException.Quote(near)}", "Correct the name.");
    }
}
