using System.Collections.Immutable;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace NeuronQuant.Checkpoints;

/// <summary>A tensor that will be written: declared before its bytes exist.</summary>
/// <param name="Name">The tensor's name, written as it is.</param>
/// <param name="Type">Type of one element.</param>
/// <param name="Shape">Dimensions, slowest first; empty for a scalar.</param>
public sealed record TensorDeclaration(string Name, TensorType Type, ImmutableArray<long> Shape);

/// <summary>One file to be written: its name, its complete header with the length in front, and where each tensor goes.</summary>
internal sealed record Shard(string FileName, byte[] Head, ImmutableArray<TensorInfo> Tensors)
{
    public long Length => Head.Length + Tensors.Sum(tensor => tensor.ByteCount);
}

/// <summary>Divides declared tensors into files and lays each file out, before a byte is written.</summary>
/// <remarks>
/// Tensors fill shards in the declared order, so that a layer stays together; a shard is closed when the next tensor would exceed the
/// limit, and a tensor larger than the limit gets a shard of its own (Hugging Face's rule; the limit counts tensor bytes, not the header).
/// Within a file tensors are sorted by alignment, descending, then by name, and the header is padded with spaces to eight bytes, as the
/// reference does: every tensor then starts at a multiple of its element size, and the bytes equal those of the reference writer.
/// </remarks>
internal static class ShardPlan
{
    private static readonly JsonWriterOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static ImmutableArray<Shard> Of(string folder, IEnumerable<TensorDeclaration> declarations, long maximumShardBytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumShardBytes, 1);
        var groups = Divide(Check(folder, declarations), maximumShardBytes);
        return groups is [var only] ? [Layout(folder, CheckpointFiles.Single, only)]
            : [.. groups.Select((group, i) => Layout(folder, CheckpointFiles.Shard(i + 1, groups.Count), group))];
    }

    /// <summary>The index over several shards, in the order of the names, as Hugging Face writes it.</summary>
    public static byte[] Index(ImmutableArray<Shard> shards)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, Compact with { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteStartObject("metadata");
            json.WriteNumber("total_size", shards.Sum(shard => shard.Tensors.Sum(tensor => tensor.ByteCount)));
            json.WriteEndObject();
            json.WriteStartObject("weight_map");
            var places = shards.SelectMany(shard => shard.Tensors.Select(tensor => (tensor.Name, shard.FileName)));
            foreach (var (name, file) in places.OrderBy(place => place.Name, StringComparer.Ordinal)) json.WriteString(name, file);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        return stream.ToArray();
    }

    private static List<(TensorDeclaration Declaration, long Bytes)> Check(string folder, IEnumerable<TensorDeclaration> declarations)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        var checkedOnes = new List<(TensorDeclaration, long)>();
        Int128 total = 0;
        foreach (var declaration in declarations)
        {
            if (declaration.Name.Length == 0 || declaration.Name == "__metadata__") throw Invalid("a reserved name", "a tensor's name");
            if (!IsUnicode(declaration.Name)) throw Invalid("half a surrogate pair in the name", "valid Unicode");
            if (!names.Add(declaration.Name)) throw Invalid("the name declared twice", "each name once");
            if (declaration.Shape.IsDefault || declaration.Shape.Any(d => d < 0)) throw Invalid("a negative dimension or no shape", "0 or more");
            long? bytes = TensorInfo.Elements(declaration.Shape) is long elements
                ? TensorInfo.Bytes(declaration.Type, elements, out _) : null;
            if (bytes is null) throw Invalid("a shape that is too large or does not fill whole bytes", "at most 2^63 - 1 whole bytes");
            if ((total += bytes.Value) > long.MaxValue / 2) throw Invalid("more than 2^62 bytes of tensors up to this one", "fewer");
            checkedOnes.Add((declaration, bytes.Value));

            CheckpointException Invalid(string found, string expected) => new(CheckpointFailure.InvalidDeclaration, folder, declaration.Name,
                found, expected, "Correct the declaration.");
        }
        return checkedOnes.Count > 0 ? checkedOnes : throw new CheckpointException(CheckpointFailure.InvalidDeclaration, folder, null, "no tensors",
            "at least one", "Declare the tensors to be written.");
    }

    private static List<List<(TensorDeclaration Declaration, long Bytes)>> Divide(List<(TensorDeclaration, long Bytes)> tensors, long maximum)
    {
        var groups = new List<List<(TensorDeclaration, long)>> { new() };
        long size = 0;
        foreach (var tensor in tensors)
        {
            if (groups[^1].Count > 0 && tensor.Bytes > maximum - size)
            {
                groups.Add([]);
                size = 0;
            }
            groups[^1].Add(tensor);
            size += tensor.Bytes;
        }
        return groups;
    }

    private static Shard Layout(string folder, string fileName, List<(TensorDeclaration Declaration, long Bytes)> group)
    {
        var sorted = group.OrderByDescending(t => t.Declaration.Type).ThenBy(t => t.Declaration.Name, StringComparer.Ordinal).ToList();
        byte[] head = Head(folder, sorted);
        long offset = head.Length;
        var tensors = ImmutableArray.CreateBuilder<TensorInfo>(sorted.Count);
        foreach (var (declaration, bytes) in sorted)
        {
            tensors.Add(new TensorInfo(declaration.Name, declaration.Type, declaration.Shape, Path.Combine(folder, fileName), offset, bytes));
            offset += bytes;
        }
        return new Shard(fileName, head, tensors.MoveToImmutable());
    }

    private static byte[] Head(string folder, List<(TensorDeclaration Declaration, long Bytes)> sorted)
    {
        using var stream = new MemoryStream();
        stream.Write(new byte[SafetensorsHeader.LengthBytes]);
        using (var json = new Utf8JsonWriter(stream, Compact)) WriteHeader(json, sorted);
        while (stream.Length % 8 != 0) stream.WriteByte((byte)' ');
        byte[] head = stream.ToArray();
        long length = head.Length - SafetensorsHeader.LengthBytes;
        if (length > SafetensorsHeader.LargestHeader)
            throw new CheckpointException(CheckpointFailure.InvalidDeclaration, folder, null, $"a header of {length} bytes",
                $"at most {SafetensorsHeader.LargestHeader}", "Choose smaller shards.");
        BitConverter.TryWriteBytes(head, length);
        return head;
    }

    private static void WriteHeader(Utf8JsonWriter json, List<(TensorDeclaration Declaration, long Bytes)> sorted)
    {
        json.WriteStartObject();
        json.WriteStartObject("__metadata__");
        json.WriteString("format", "pt"); // Loaders of transformers refuse a file that does not say so.
        json.WriteEndObject();
        long offset = 0;
        foreach (var (declaration, bytes) in sorted)
        {
            json.WriteStartObject(declaration.Name);
            json.WriteString("dtype", declaration.Type.Name());
            WriteNumbers(json, "shape", declaration.Shape.AsSpan());
            WriteNumbers(json, "data_offsets", [offset, offset + bytes]);
            json.WriteEndObject();
            offset += bytes;
        }
        json.WriteEndObject();
    }

    private static void WriteNumbers(Utf8JsonWriter json, string name, ReadOnlySpan<long> numbers)
    {
        json.WriteStartArray(name);
        foreach (long number in numbers) json.WriteNumberValue(number);
        json.WriteEndArray();
    }

    private static bool IsUnicode(string name) => string.Concat(name.EnumerateRunes()) == name; // A lone half comes back as U+FFFD.
}
