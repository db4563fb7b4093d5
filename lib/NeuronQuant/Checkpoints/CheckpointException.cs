namespace NeuronQuant.Checkpoints;

/// <summary>Every way in which reading or writing a checkpoint can fail; one member for one cause.</summary>
public enum CheckpointFailure
{
    /// <summary>The path names neither a file nor a folder.</summary>
    NotFound,

    /// <summary>The local hub cache does not hold the model of a hub name.</summary>
    NotInHubCache,

    /// <summary>The file is of another format than its name says: a git-lfs pointer, a pickle, a web page.</summary>
    AnotherFormat,

    /// <summary>The folder holds no safetensors checkpoint.</summary>
    NoCheckpoint,

    /// <summary>The operating system refused to read.</summary>
    ReadFailed,

    /// <summary>The file is shorter than the eight bytes of the header's length.</summary>
    FileTooSmall,

    /// <summary>The header's length is beyond the format's limit of 100 million bytes.</summary>
    HeaderTooLarge,

    /// <summary>The file ends within its header.</summary>
    HeaderTruncated,

    /// <summary>The header is not UTF-8.</summary>
    HeaderNotUtf8,

    /// <summary>The header is not JSON, or is nested too deeply.</summary>
    HeaderNotJson,

    /// <summary>The header is JSON of another structure than the format's.</summary>
    HeaderWrongStructure,

    /// <summary>__metadata__ is not a map from strings to strings.</summary>
    MetadataNotStrings,

    /// <summary>A name occurs twice.</summary>
    DuplicateName,

    /// <summary>The header names an element type that the format does not have.</summary>
    UnknownType,

    /// <summary>A dimension or an offset is negative, fractional or beyond 2^63 - 1.</summary>
    NumberOutOfRange,

    /// <summary>A shape has more elements than 64 bits can count.</summary>
    ShapeOverflow,

    /// <summary>A tensor of a packed type does not fill whole bytes.</summary>
    PartialByte,

    /// <summary>The shape and type ask for another number of bytes than the offsets give.</summary>
    SizeMismatch,

    /// <summary>A tensor ends before it begins.</summary>
    OffsetsReversed,

    /// <summary>Two tensors share bytes.</summary>
    OffsetsOverlap,

    /// <summary>Bytes between two tensors belong to none.</summary>
    OffsetsHole,

    /// <summary>A tensor reaches beyond the end of the file: a truncated download.</summary>
    OffsetsOutOfRange,

    /// <summary>Bytes after the last tensor belong to none.</summary>
    TrailingBytes,

    /// <summary>The index is not JSON, repeats a name or is nested too deeply.</summary>
    IndexNotJson,

    /// <summary>The index is JSON of another structure than the format's.</summary>
    IndexWrongStructure,

    /// <summary>The index names a file outside its folder.</summary>
    IndexPathOutside,

    /// <summary>A shard that the index names is not there.</summary>
    ShardMissing,

    /// <summary>A shard lacks a tensor that the index places in it.</summary>
    ShardLacksTensor,

    /// <summary>No tensor of this name is in the checkpoint.</summary>
    TensorNotFound,

    /// <summary>The tensor's type cannot be read as floats.</summary>
    TypeNotDecodable,

    /// <summary>The weights are quantized already, in a way that is not code times scale.</summary>
    SourceQuantized,

    /// <summary>A scale that fits its codes in no known way, or is no number.</summary>
    ScaleInvalid,

    /// <summary>There is no config.json beside the weights.</summary>
    ConfigNotFound,

    /// <summary>config.json is not a JSON object, repeats a name or is too large.</summary>
    ConfigNotJson,

    /// <summary>config.json lacks a field that has no safe default.</summary>
    ConfigFieldMissing,

    /// <summary>A field of config.json has the wrong JSON type.</summary>
    ConfigFieldType,

    /// <summary>A field of config.json is out of its range or contradicts another one.</summary>
    ConfigFieldValue,

    /// <summary>config.json describes a model or an option that this library does not know.</summary>
    ConfigUnsupported,

    /// <summary>neuronquant.json is not the record that a quantization writes.</summary>
    RecordInvalid,

    /// <summary>A tensor that the config asks for is not in the checkpoint.</summary>
    ExpectedTensorMissing,

    /// <summary>A tensor's shape contradicts the config.</summary>
    ExpectedShapeDiffers,

    /// <summary>The tensors declared to the writer cannot be a checkpoint.</summary>
    InvalidDeclaration,

    /// <summary>The target folder already holds a checkpoint.</summary>
    TargetExists,

    /// <summary>The target is the folder of the source, whose weights would be replaced.</summary>
    TargetIsSource,

    /// <summary>Another writer is at work in the target folder.</summary>
    TargetBusy,

    /// <summary>The operating system refused to write: disk full, no permission, a file in the folder's place.</summary>
    WriteFailed,

    /// <summary>More bytes were given for a tensor than were declared.</summary>
    TooManyBytes,

    /// <summary>The writer was told to finish while a tensor lacks bytes.</summary>
    TensorIncomplete,
}

/// <summary>A checkpoint that cannot be read, written or believed: which file and tensor, what was found and expected, what to do.</summary>
/// <remarks>
/// One exception for the whole room: a caller that wants to distinguish the causes switches over <see cref="Failure"/>. Mistakes of the
/// calling code (an offset outside of a tensor, use after Dispose) stay the usual ArgumentException and ObjectDisposedException.
/// Text from the file is clipped in the message, since a hostile header may hold a name of 100 MB.
/// </remarks>
public sealed class CheckpointException : IOException
{
    private const int LongestQuote = 200; // Characters of foreign text in a message: longer than any real tensor name.

    internal CheckpointException(CheckpointFailure failure, string file, string? tensor, string found, string expected, string remedy,
        Exception? inner = null)
        : base($"{file}{(tensor is null ? "" : $", {Quote(tensor)}")}: found {found}, expected {expected}. {remedy}", inner)
    {
        (Failure, File, Tensor) = (failure, file, tensor);
    }

    /// <summary>The cause.</summary>
    public CheckpointFailure Failure { get; }

    /// <summary>The file or folder at fault.</summary>
    public string File { get; }

    /// <summary>The tensor, or in config.json the field, at fault; null when it is the file as a whole.</summary>
    public string? Tensor { get; }

    /// <summary>Text of a file in quotes, clipped, with control characters made visible.</summary>
    internal static string Quote(string text)
    {
        string clipped = text.Length <= LongestQuote ? text : text[..LongestQuote] + "...";
        return $"\"{string.Concat(clipped.Select(c => char.IsControl(c) ? '?' : c))}\"";
    }

    internal static string Quote(IEnumerable<long> shape) => $"[{string.Join(", ", shape)}]";
}
