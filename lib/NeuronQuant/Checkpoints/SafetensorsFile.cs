using System.Buffers.Binary;
using System.Collections.Immutable;
using System.IO.MemoryMappedFiles;
using Microsoft.Win32.SafeHandles;

namespace NeuronQuant.Checkpoints;

/// <summary>One safetensors file, memory-mapped: opening reads the header, and bytes come from disk when they are looked at.</summary>
/// <remarks>
/// Spans point into the map, so a 24 GB model costs address space and page cache, not managed memory. The price: a span must not be used
/// after Dispose, and reading what another program has cut off ends the process (the operating system's rule). So the file's length and
/// time are looked at before bytes are given out, once in a few milliseconds, and a file that was written to since it was opened is an
/// error; replacing it by rename, as CheckpointWriter does, is harmless. Methods called after Dispose throw ObjectDisposedException.
/// Reading from several threads is fine. The map is made at the first access, so that opening hundreds of shards stays cheap.
/// </remarks>
public sealed class SafetensorsFile : IDisposable
{
    private readonly Lock _lock = new();
    private readonly long _length;
    private readonly DateTime _written;
    private SafeFileHandle? _handle;
    private long _looked = -1; // When the file was last seen unchanged, in milliseconds.
    private MemoryMappedFile? _file;
    private MemoryMappedViewAccessor? _view;
    private unsafe byte* _start;
    private bool _disposed;

    private SafetensorsFile(string path, long length, DateTime written, ImmutableArray<TensorInfo> tensors, ImmutableDictionary<string, string> metadata) =>
        (Path, _length, _written, Tensors, Metadata) = (path, length, written, tensors, metadata);

    /// <summary>The file's path, as given.</summary>
    public string Path { get; }

    /// <summary>All tensors, in the order of their bytes.</summary>
    public ImmutableArray<TensorInfo> Tensors { get; }

    /// <summary>The strings under __metadata__, such as format = pt.</summary>
    public ImmutableDictionary<string, string> Metadata { get; }

    /// <summary>Reads and checks the header of a file.</summary>
    /// <exception cref="CheckpointException">The file is missing, unreadable or breaks the format.</exception>
    public static SafetensorsFile Open(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        try
        {
            byte[] header = ReadHeader(path, out long length, out var written);
            var entries = SafetensorsHeader.Parse(path, header, out var metadata);
            var tensors = SafetensorsLayout.Check(path, entries, SafetensorsHeader.LengthBytes + header.Length, length);
            return new SafetensorsFile(path, length, written, tensors, metadata);
        }
        catch (CheckpointException error) when (IsNoHeader(error.Failure) && FileKind.Of(path) is var (kind, remedy))
        {
            throw new CheckpointException(CheckpointFailure.AnotherFormat, path, null, kind, "a safetensors file", remedy, error);
        }
    }

    // Failures that a file of another format ends in; a header that is one but wrong keeps its own error.
    private static bool IsNoHeader(CheckpointFailure failure) => failure is CheckpointFailure.FileTooSmall or CheckpointFailure.HeaderTooLarge
        or CheckpointFailure.HeaderTruncated or CheckpointFailure.HeaderNotUtf8 or CheckpointFailure.HeaderNotJson;

    /// <summary>A part of a tensor's bytes, in place. Valid until Dispose.</summary>
    /// <param name="tensor">A tensor of this file.</param>
    /// <param name="offset">First byte, counted from the tensor's start.</param>
    /// <param name="count">Number of bytes; a tensor may be longer than a span can be, hence the pair.</param>
    /// <exception cref="ArgumentOutOfRangeException">The part is not within the tensor, or the tensor is not within this file.</exception>
    /// <exception cref="ObjectDisposedException">The file was closed.</exception>
    /// <exception cref="CheckpointException">The file was written to since it was opened.</exception>
    public unsafe ReadOnlySpan<byte> Bytes(TensorInfo tensor, long offset, int count)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, tensor.ByteCount - count);
        if (tensor.File != Path || tensor.Offset < 0 || tensor.Offset > _length - tensor.ByteCount)
            throw new ArgumentOutOfRangeException(nameof(tensor), $"{tensor.Name} of {tensor.File} is not a tensor of {Path}.");
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_start == null) Map();
            CheckUnchanged();
            return new ReadOnlySpan<byte>(_start + tensor.Offset + offset, count);
        }
    }

    /// <summary>Decodes elements to float; see <see cref="TensorDecoder"/> for the types.</summary>
    /// <param name="tensor">A tensor of this file.</param>
    /// <param name="firstElement">Index of the first element, in C order.</param>
    /// <param name="destination">Receives as many elements as it is long.</param>
    /// <exception cref="CheckpointException">The type cannot be decoded.</exception>
    public void ReadFloats(TensorInfo tensor, long firstElement, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        ArgumentOutOfRangeException.ThrowIfNegative(firstElement);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(firstElement, tensor.ElementCount - destination.Length);
        TensorDecoder.CheckDecodable(tensor);
        int width = tensor.Type.BitSize() / 8;
        const int chunk = 1 << 20; // Elements at once: keeps the byte count of a span far below 2^31.
        while (destination.Length > 0)
        {
            int count = Math.Min(destination.Length, chunk);
            Decode(tensor, firstElement * width, count * width, destination[..count]);
            firstElement += count;
            destination = destination[count..];
        }
    }

    /// <summary>Unmaps the file.</summary>
    public unsafe void Dispose()
    {
        lock (_lock)
        {
            if (_disposed) return;
            _disposed = true;
            if (_start != null) _view!.SafeMemoryMappedViewHandle.ReleasePointer();
            _view?.Dispose();
            _file?.Dispose();
            _handle?.Dispose();
        }
    }

    // Holds a reference to the map while decoding, so that a Dispose on another thread unmaps only afterwards.
    private void Decode(TensorInfo tensor, long offset, int count, Span<float> destination)
    {
        var bytes = Bytes(tensor, offset, count);
        bool held = false;
        var handle = _view!.SafeMemoryMappedViewHandle;
        try
        {
            handle.DangerousAddRef(ref held); // Throws ObjectDisposedException when Dispose came in between.
            TensorDecoder.Decode(tensor.Type, bytes, destination);
        }
        finally
        {
            if (held) handle.DangerousRelease();
        }
    }

    private unsafe void Map()
    {
        try
        {
            _handle ??= File.OpenHandle(Path, FileMode.Open, FileAccess.Read, FileShare.Read);
            CheckUnchanged(); // An empty file cannot be mapped: say why it is empty.
            _file ??= MemoryMappedFile.CreateFromFile(_handle, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            _view ??= _file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
            byte* start = null;
            _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
            _start = start + _view.PointerOffset;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw ReadError(Path, error);
        }
    }

    // Two calls of the system a millisecond cost nothing beside the reading, and a row may be short.
    private void CheckUnchanged()
    {
        long now = Environment.TickCount64;
        if (now == _looked) return;
        long length = RandomAccess.GetLength(_handle!);
        var written = File.GetLastWriteTimeUtc(_handle!);
        if (length != _length || written != _written)
            throw new CheckpointException(CheckpointFailure.ReadFailed, Path, null,
                length == _length ? "written to while it was read" : $"{length} bytes now, {_length} when it was opened",
                "a file that stays as it is while it is read", "Wait until whatever writes it has ended, and start again.");
        _looked = now;
    }

    private static byte[] ReadHeader(string path, out long length, out DateTime written)
    {
        try
        {
            using var handle = File.OpenHandle(path);
            (length, written) = (RandomAccess.GetLength(handle), File.GetLastWriteTimeUtc(handle));
            int count = HeaderLength(path, handle, length);
            var header = new byte[count];
            for (int done = 0; done < count;)
            {
                int read = RandomAccess.Read(handle, header.AsSpan(done), SafetensorsHeader.LengthBytes + done);
                if (read == 0) throw new IOException("the file shrank while it was read");
                done += read;
            }
            return header;
        }
        catch (Exception error) when (error is not CheckpointException
            && error is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw ReadError(path, error);
        }
    }

    private static int HeaderLength(string path, Microsoft.Win32.SafeHandles.SafeFileHandle handle, long fileLength)
    {
        const string again = "The file is not safetensors or was cut off: fetch it again.";
        Span<byte> bytes = stackalloc byte[SafetensorsHeader.LengthBytes];
        if (fileLength < bytes.Length || RandomAccess.Read(handle, bytes, 0) < bytes.Length)
            throw new CheckpointException(CheckpointFailure.FileTooSmall, path, null, $"{fileLength} bytes", "at least 8 and a header", again);
        ulong header = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        if (header > SafetensorsHeader.LargestHeader)
            throw new CheckpointException(CheckpointFailure.HeaderTooLarge, path, null, $"a header of {header} bytes",
                $"at most {SafetensorsHeader.LargestHeader}", again);
        if ((long)header > fileLength - bytes.Length)
            throw new CheckpointException(CheckpointFailure.HeaderTruncated, path, null, $"a header of {header} bytes in a file of {fileLength}",
                "a header within the file", again);
        return (int)header;
    }

    private static CheckpointException ReadError(string path, Exception error) => error is FileNotFoundException or DirectoryNotFoundException
        ? FileKind.Missing(CheckpointFailure.NotFound, path, "a safetensors file", "Check the path.")
        : new(CheckpointFailure.ReadFailed, path, null, error.Message, "a readable file", "Check the path, the permissions and the disk.", error);
}
