using System.Collections.Immutable;
using Microsoft.Win32.SafeHandles;

namespace NeuronQuant.Checkpoints;

/// <summary>Writes a checkpoint that is streamed in and appears all at once.</summary>
/// <remarks>
/// All tensors are declared first, so every file's header and every tensor's place are known before the first byte; the bytes then come
/// in pieces, each tensor from its start to its end, tensors in any order (different tensors even from different threads). Nothing is
/// held in memory. The disk space is reserved up front where the file system can: a full disk shows at once, not after an hour.
/// Until Complete everything lives in a folder ".partial-checkpoint" inside the target, where no reader looks. Dispose without
/// Complete deletes it; what a killed process left is deleted by the next writer. See <see cref="CheckpointPublisher"/> for the end.
/// </remarks>
public sealed class CheckpointWriter : IDisposable
{
    /// <summary>The usual size of a shard, in bytes.</summary>
    public const long DefaultShardBytes = 5_000_000_000;

    private readonly CheckpointPublisher _publisher;
    private readonly ImmutableArray<Shard> _shards;
    private readonly Dictionary<string, Slot> _slots;
    private readonly List<SafeFileHandle> _handles = [];
    private bool _finished;

    private CheckpointWriter(string folder, ImmutableArray<Shard> shards, CheckpointPublisher publisher)
    {
        (Folder, _shards, _publisher) = (folder, shards, publisher);
        _slots = shards.SelectMany((shard, i) => shard.Tensors.Select(tensor => new Slot(tensor, i)))
            .ToDictionary(slot => slot.Tensor.Name, StringComparer.Ordinal);
    }

    /// <summary>The target folder.</summary>
    public string Folder { get; }

    /// <summary>Starts a checkpoint in a folder, which is made when missing; other files in it stay.</summary>
    /// <param name="folder">Target folder.</param>
    /// <param name="tensors">Everything that will be written; the order decides which tensors share a shard.</param>
    /// <param name="maximumShardBytes">Tensor bytes in one file; a single model.safetensors when all fit.</param>
    /// <param name="overwrite">Whether a checkpoint that is already there may be replaced; it stays readable until Complete.</param>
    /// <exception cref="CheckpointException">A wrong declaration, an existing checkpoint, another writer, or no space or permission.</exception>
    public static CheckpointWriter Create(string folder, IEnumerable<TensorDeclaration> tensors, long maximumShardBytes = DefaultShardBytes,
        bool overwrite = false)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(tensors);
        var shards = ShardPlan.Of(folder, tensors, maximumShardBytes);
        var writer = new CheckpointWriter(folder, shards, CheckpointPublisher.Begin(folder, overwrite));
        try
        {
            foreach (var shard in shards) writer.OpenShard(shard);
            return writer;
        }
        catch
        {
            writer.Dispose();
            throw;
        }
    }

    /// <summary>Appends bytes to a tensor.</summary>
    /// <param name="tensor">A declared name.</param>
    /// <param name="bytes">The next bytes, little-endian, in C order.</param>
    /// <exception cref="CheckpointException">The name was not declared, more bytes than declared, or the disk is full.</exception>
    public void Write(string tensor, ReadOnlySpan<byte> bytes)
    {
        ObjectDisposedException.ThrowIf(_finished, this);
        if (!_slots.TryGetValue(tensor, out var slot))
            throw new CheckpointException(CheckpointFailure.TensorNotFound, Folder, tensor, "an undeclared tensor", "one of those declared",
                "Declare it when the writer is created.");
        if (bytes.Length > slot.Tensor.ByteCount - slot.Written)
            throw new CheckpointException(CheckpointFailure.TooManyBytes, slot.Tensor.File, tensor, $"{slot.Written} + {bytes.Length} bytes",
                $"{slot.Tensor.ByteCount}, as declared", "Check the declared shape and type.");
        try
        {
            RandomAccess.Write(_handles[slot.Shard], bytes, slot.Tensor.Offset + slot.Written);
        }
        catch (Exception error) when (CheckpointPublisher.IsSystemError(error))
        {
            throw CheckpointPublisher.WriteError(slot.Tensor.File, error);
        }
        slot.Written += bytes.Length;
    }

    /// <summary>Checks that every tensor is whole, flushes to disk and makes the checkpoint visible; the last step of a write.</summary>
    /// <exception cref="CheckpointException">A tensor lacks bytes, or the operating system refused.</exception>
    public void Complete()
    {
        ObjectDisposedException.ThrowIf(_finished, this);
        if (_slots.Values.FirstOrDefault(slot => slot.Written != slot.Tensor.ByteCount) is { } slot)
            throw new CheckpointException(CheckpointFailure.TensorIncomplete, slot.Tensor.File, slot.Tensor.Name, $"{slot.Written} bytes written",
                $"{slot.Tensor.ByteCount}, as declared", "Write the rest before Complete.");
        for (int i = 0; i < _handles.Count; i++) Close(_shards[i].FileName, _handles[i]);
        _publisher.Publish(_shards);
        Dispose();
    }

    /// <summary>Ends the write; without Complete before, everything written so far is deleted and the target is as it was.</summary>
    public void Dispose()
    {
        if (_finished) return;
        _finished = true;
        foreach (var handle in _handles) handle.Dispose();
        _publisher.Dispose();
    }

    private void OpenShard(Shard shard)
    {
        try
        {
            var handle = File.OpenHandle(_publisher.PartialPath(shard.FileName), FileMode.Create, FileAccess.Write, FileShare.None,
                FileOptions.None, shard.Length);
            _handles.Add(handle);
            RandomAccess.Write(handle, shard.Head, 0);
        }
        catch (Exception error) when (CheckpointPublisher.IsSystemError(error))
        {
            throw CheckpointPublisher.WriteError(Path.Combine(Folder, shard.FileName), error);
        }
    }

    private void Close(string fileName, SafeFileHandle handle)
    {
        try
        {
            RandomAccess.FlushToDisk(handle);
            handle.Dispose();
        }
        catch (Exception error) when (CheckpointPublisher.IsSystemError(error))
        {
            throw CheckpointPublisher.WriteError(Path.Combine(Folder, fileName), error);
        }
    }

    private sealed class Slot(TensorInfo tensor, int shard)
    {
        public TensorInfo Tensor { get; } = tensor;

        public int Shard { get; } = shard;

        public long Written { get; set; }
    }
}
