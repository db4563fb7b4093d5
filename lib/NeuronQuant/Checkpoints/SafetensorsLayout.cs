using System.Collections.Immutable;

namespace NeuronQuant.Checkpoints;

/// <summary>Checks that the tensors of a header tile the data: no hole, no overlap, no byte left over.</summary>
/// <remarks>
/// Sorted by offset, each tensor must begin where the one before ended, be as long as its shape and type say, and the last must end with
/// the file. The rule makes a file's meaning unique and leaves no room for hidden content (tensor.rs, Metadata::validate). Alignment is
/// not checked: files of older writers are sorted by name and are legal. All sums are in 128 bits or follow a check of range.
/// </remarks>
internal static class SafetensorsLayout
{
    private const string Again = "The file is damaged: download or write it again.";

    /// <summary>The tensors in the order of their bytes.</summary>
    public static ImmutableArray<TensorInfo> Check(string file, List<(string Name, HeaderEntry Entry)> entries, long dataStart, long fileLength)
    {
        long dataLength = fileLength - dataStart, cursor = 0;
        var sorted = entries.OrderBy(e => e.Entry.Begin).ThenBy(e => e.Entry.End).ThenBy(e => e.Name, StringComparer.Ordinal);
        var tensors = ImmutableArray.CreateBuilder<TensorInfo>(entries.Count);
        foreach (var (name, entry) in sorted)
        {
            CheckOffsets(file, name, entry, cursor, dataLength);
            CheckSize(file, name, entry);
            tensors.Add(new TensorInfo(name, entry.Type, entry.Shape, file, dataStart + entry.Begin, entry.End - entry.Begin));
            cursor = entry.End;
        }
        if (cursor != dataLength)
            throw new CheckpointException(CheckpointFailure.TrailingBytes, file, null, $"{dataLength} bytes of data",
                $"{cursor}, where the last tensor ends", Again);
        return tensors.MoveToImmutable();
    }

    private static void CheckOffsets(string file, string name, HeaderEntry entry, long cursor, long dataLength)
    {
        string found = $"data_offsets [{entry.Begin}, {entry.End}]";
        if (entry.End < entry.Begin) throw Error(CheckpointFailure.OffsetsReversed, "an end that is not before the begin");
        if (entry.End > dataLength)
            throw new CheckpointException(CheckpointFailure.OffsetsOutOfRange, file, name, found, $"an end within the {dataLength} bytes of data",
                "The file was cut off, most likely a download that did not finish: fetch it again.");
        if (entry.Begin < cursor) throw Error(CheckpointFailure.OffsetsOverlap, $"a begin of {cursor}, where the tensor before ends");
        if (entry.Begin > cursor) throw Error(CheckpointFailure.OffsetsHole, $"a begin of {cursor}, where the tensor before ends");

        CheckpointException Error(CheckpointFailure failure, string expected) => new(failure, file, name, found, expected, Again);
    }

    private static void CheckSize(string file, string name, HeaderEntry entry)
    {
        string shape = $"shape {CheckpointException.Quote(entry.Shape)} of {entry.Type.Name()}";
        long given = entry.End - entry.Begin;
        if (TensorInfo.Elements(entry.Shape) is not long elements) throw Error(CheckpointFailure.ShapeOverflow, "at most 2^63 - 1 elements");
        long? needed = TensorInfo.Bytes(entry.Type, elements, out bool partialByte);
        if (partialByte) throw Error(CheckpointFailure.PartialByte, "elements that fill whole bytes");
        if (needed is null) throw Error(CheckpointFailure.ShapeOverflow, "at most 2^63 - 1 bytes");
        if (needed != given) throw Error(CheckpointFailure.SizeMismatch, $"one of {given} bytes, as the offsets say, not {needed}");

        CheckpointException Error(CheckpointFailure failure, string expected) => new(failure, file, name, shape, expected, Again);
    }
}
