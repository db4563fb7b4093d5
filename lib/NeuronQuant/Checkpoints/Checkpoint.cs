using System.Collections.Immutable;
using System.Runtime.InteropServices;
using NeuronQuant.Formats;

namespace NeuronQuant.Checkpoints;

/// <summary>A model's weights on disk, one file or many, read where they lie.</summary>
/// <remarks>
/// Open takes a .safetensors file, an index, or a folder; in a folder the single file wins over the index, as in NxD Inference's loader.
/// Opening reads headers only: 24 GB in shards open in milliseconds. Whatever is odd but not fatal is said in <see cref="Notes"/>. The
/// span of <see cref="Bytes"/> points into the file and must not outlive this object. Reading from several threads is fine.
/// Weights have one door: <see cref="Open"/> shows values, so that a weight stored as code and scale (see <see cref="SourceScheme"/>) is their
/// product in bf16, computed as it is read, and what has no such product is refused. <see cref="OpenStored"/> shows codes and scales as
/// they lie, for those who look at a quantized folder and not at a model.
/// </remarks>
public sealed partial class Checkpoint : IDisposable
{
    private readonly Dictionary<string, SafetensorsFile> _files;
    private readonly Dictionary<string, TensorInfo> _tensors;
    private readonly Dictionary<string, IComputedTensor> _scaled;
    private readonly Lazy<ModelConfig> _config;
    private readonly Lazy<HeadTie> _headTie;
    private bool _disposed;

    private Checkpoint(string path, string source, IReadOnlyList<SafetensorsFile> files, IEnumerable<TensorInfo> tensors, IEnumerable<string> notes,
        SourceScheme? scheme = null)
    {
        (Path, Source, Notes, Scheme) = (path, source, [.. notes], scheme);
        _scaled = (scheme?.Computed ?? []).ToDictionary(weight => weight.Values.Name, StringComparer.Ordinal);
        _files = files.ToDictionary(file => file.Path);
        _tensors = tensors.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
        Tensors = [.. _tensors.Values.Order(Comparer<TensorInfo>.Create((x, y) => ModuleName.CompareTensors(x.Name, y.Name)))];
        ConfigPath = System.IO.Path.Combine(System.IO.Path.GetDirectoryName(source) ?? "", CheckpointFiles.Config);
        _headTie = new Lazy<HeadTie>(() => TiedHead.Compare(this));
        // Seen by value nothing is quantized any more, whatever config.json says of the codes.
        _config = new Lazy<ModelConfig>(() =>
            scheme is null ? ModelConfig.Read(ConfigPath) : ModelConfig.Read(ConfigPath) with { QuantizationMethod = null });
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

    /// <summary>How the weights are stored; null when the checkpoint was opened as it lies.</summary>
    public SourceScheme? Scheme { get; }

    /// <summary>Bytes of all tensors together, as they are stored.</summary>
    public long ByteCount => Scheme?.StoredBytes ?? Tensors.Sum(tensor => tensor.ByteCount);

    /// <summary>Where config.json is looked for: beside the weights.</summary>
    public string ConfigPath { get; }

    /// <summary>How lm_head stands to the embedding; compared at first use, at the cost of reading both where both are stored.</summary>
    public HeadTie HeadTie => _headTie.Value;

    /// <summary>True when there is a config.json beside the weights.</summary>
    public bool HasConfig => File.Exists(ConfigPath);

    /// <summary>The model's config, read at first use.</summary>
    /// <exception cref="CheckpointException">config.json is missing or not of a model that this library knows.</exception>
    public ModelConfig Config => _config.Value;

    /// <summary>A tensor by its exact name.</summary>
    /// <exception cref="CheckpointException">There is no such tensor; the message offers the nearest name.</exception>
    public TensorInfo this[string name] => _tensors.TryGetValue(name, out var tensor) ? tensor : throw NotFound(name);

    /// <summary>
    /// Opens a model by value: a .safetensors file, a *.index.json, a folder with one of them, or hf:ORG/NAME of the local hub cache.
    /// </summary>
    /// <exception cref="CheckpointException">There is none, it is damaged, or its weights are quantized, but not as code times scale.</exception>
    public static Checkpoint Open(string path)
    {
        var stored = OpenStored(path);
        try
        {
            var scheme = SourceScheme.Of(stored);
            if (scheme.Refusal is { } refusal) throw refusal;
            string[] notes = [.. stored.Notes, .. scheme.Notes];
            return new Checkpoint(stored.Path, stored.Source, [.. stored._files.Values], scheme.Tensors(), notes, scheme);
        }
        catch
        {
            stored.Dispose();
            throw;
        }
    }

    /// <summary>Opens a checkpoint as it lies: codes are codes and scales are tensors of their own.</summary>
    /// <exception cref="CheckpointException">There is none, or it is damaged.</exception>
    public static Checkpoint OpenStored(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        path = HubCache.Resolve(path);
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

    /// <summary>True when a tensor's values are computed from codes and scales rather than read in place.</summary>
    public bool IsComputed(TensorInfo tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        return _scaled.TryGetValue(tensor.Name, out var scaled) && scaled.Values.Equals(tensor);
    }

    /// <summary>The codes behind a tensor's values; null when it lies as values.</summary>
    internal IComputedTensor? CodesOf(TensorInfo tensor) => IsComputed(tensor) ? _scaled[tensor.Name] : null;

    /// <summary>
    /// Part of a tensor's bytes: count bytes from offset, both within the tensor. In place and valid until Dispose; of a computed tensor a copy.
    /// </summary>
    public ReadOnlySpan<byte> Bytes(TensorInfo tensor, long offset, int count) =>
        IsComputed(tensor) ? ComputedBytes(tensor, offset, count) : FileOf(tensor).Bytes(tensor, offset, count);

    /// <summary>Decodes elements to float: as many as the destination is long, from firstElement on in C order.</summary>
    /// <exception cref="CheckpointException">The type cannot be read as floats.</exception>
    public void ReadFloats(TensorInfo tensor, long firstElement, Span<float> destination)
    {
        var file = FileOf(tensor);
        if (IsComputed(tensor)) _scaled[tensor.Name].ReadFloats(firstElement, destination);
        else file.ReadFloats(tensor, firstElement, destination);
    }

    /// <summary>Unmaps all files; spans handed out before are invalid from now on.</summary>
    public void Dispose()
    {
        _disposed = true;
        foreach (var file in _files.Values) file.Dispose();
    }

    // Whole elements around the bytes asked for, since values are made a number at a time.
    private ReadOnlySpan<byte> ComputedBytes(TensorInfo tensor, long offset, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, tensor.ByteCount - count);
        long first = offset / 2;
        var values = new float[(offset + count + 1) / 2 - first];
        ReadFloats(tensor, first, values);
        var codes = new ushort[values.Length];
        BFloat16.Encode(values, codes);
        return MemoryMarshal.AsBytes(codes.AsSpan()).Slice((int)(offset - 2 * first), count);
    }

    private SafetensorsFile FileOf(TensorInfo tensor)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentNullException.ThrowIfNull(tensor);
        return _files.TryGetValue(tensor.File, out var file) ? file
            : throw new ArgumentOutOfRangeException(nameof(tensor), $"{tensor.Name} of {tensor.File} is not a tensor of {Path}.");
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
