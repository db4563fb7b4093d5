using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Unicode;

namespace NeuronQuant.Checkpoints;

/// <summary>Reads the JSON header of a safetensors file, trusting nothing in it.</summary>
/// <remarks>
/// The file is: eight bytes with the header's length (little-endian), the header, the data. The header is one JSON object that maps a
/// tensor's name to {"dtype", "shape", "data_offsets": [begin, end)}, offsets counted from the start of the data, plus an optional
/// "__metadata__" of strings. We read it token by token instead of building a document, because a document would hide a name that
/// occurs twice, and because memory then grows with what the file really holds and never with a number that the file states.
/// Unknown members of a tensor's entry are skipped, as the reference does. Stricter than the reference (tensor.rs): duplicate names are
/// refused, the header must start with '{' (the format's text demands it, its code does not), and a shape has at most 64 dimensions.
/// </remarks>
internal static class SafetensorsHeader
{
    /// <summary>The format's limit of a header, in bytes.</summary>
    public const int LargestHeader = 100_000_000;

    /// <summary>Bytes of the length in front of the header.</summary>
    public const int LengthBytes = 8;

    private const int MostDimensions = 64; // What PyTorch and NumPy can hold; without a limit a header of "1,1,1,..." costs 8 times its size.

    private const string Redo = "The file is damaged or not safetensors: download or write it again.";

    /// <summary>The entries of a header, in the header's order; offsets are still the file's claim.</summary>
    public static List<(string Name, HeaderEntry Entry)> Parse(string file, ReadOnlySpan<byte> json, out ImmutableDictionary<string, string> metadata)
    {
        if (!Utf8.IsValid(json)) throw Error(file, CheckpointFailure.HeaderNotUtf8, null, "bytes that are not UTF-8", "a header in UTF-8");
        if (json.Length == 0 || json[0] != (byte)'{')
            throw Error(file, CheckpointFailure.HeaderNotJson, null, "no '{' at the start of the header", "a JSON object");
        try
        {
            var reader = new Utf8JsonReader(json);
            return ParseObject(file, ref reader, out metadata);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: an escape such as \ud800 that is no character.
            throw new CheckpointException(CheckpointFailure.HeaderNotJson, file, null, $"a header that is not JSON ({error.Message})",
                "one JSON object, padded with spaces", Redo, error);
        }
    }

    private static List<(string Name, HeaderEntry Entry)> ParseObject(string file, ref Utf8JsonReader reader,
        out ImmutableDictionary<string, string> metadata)
    {
        var entries = new List<(string, HeaderEntry)>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        metadata = ImmutableDictionary<string, string>.Empty;
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            if (!names.Add(name)) throw Error(file, CheckpointFailure.DuplicateName, name, "the name twice in the header", "each name once");
            reader.Read();
            if (name == "__metadata__") metadata = ParseMetadata(file, ref reader);
            else entries.Add((name, ParseEntry(file, name, ref reader)));
        }
        reader.Read(); // Throws when anything but white space follows the object.
        return entries;
    }

    private static ImmutableDictionary<string, string> ParseMetadata(string file, ref Utf8JsonReader reader)
    {
        var result = ImmutableDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        if (reader.TokenType == JsonTokenType.Null) return result.ToImmutable();
        if (reader.TokenType != JsonTokenType.StartObject) throw MetadataError(file, reader.TokenType);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String) throw MetadataError(file, reader.TokenType);
            if (!result.TryAdd(key, reader.GetString()!))
                throw Error(file, CheckpointFailure.DuplicateName, key, "the name twice in __metadata__", "each name once");
        }
        return result.ToImmutable();
    }

    private static HeaderEntry ParseEntry(string file, string name, ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject) throw StructureError(file, name, reader.TokenType, "an object");
        TensorType? type = null;
        List<long>? shape = null, offsets = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string member = reader.GetString()!;
            if (member switch { "dtype" => type is not null, "shape" => shape is not null, "data_offsets" => offsets is not null, _ => false })
                throw Error(file, CheckpointFailure.DuplicateName, name, $"\"{member}\" twice", "each member once");
            reader.Read();
            if (member == "dtype") type = ParseType(file, name, ref reader);
            else if (member == "shape") shape = ParseNumbers(file, name, MostDimensions, ref reader);
            else if (member == "data_offsets") offsets = ParseNumbers(file, name, 2, ref reader);
            else reader.Skip();
        }
        if (type is null || shape is null || offsets is not { Count: 2 })
            throw Error(file, CheckpointFailure.HeaderWrongStructure, name, "an incomplete entry", "dtype, shape and two data_offsets");
        return new HeaderEntry(type.Value, [.. shape], offsets[0], offsets[1]);
    }

    private static TensorType ParseType(string file, string name, ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.String) throw StructureError(file, name, reader.TokenType, "a string as dtype");
        string text = reader.GetString()!;
        if (TensorTypes.TryParse(text, out var type)) return type;
        throw new CheckpointException(CheckpointFailure.UnknownType, file, name, $"dtype {CheckpointException.Quote(text)}",
            $"one of {string.Join(", ", TensorTypes.Names)}", "Convert the tensor to one of these types with the program that wrote it.");
    }

    private static List<long> ParseNumbers(string file, string name, int most, ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartArray) throw StructureError(file, name, reader.TokenType, "an array of integers");
        var numbers = new List<long>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number) throw StructureError(file, name, reader.TokenType, "an integer");
            if (!reader.TryGetInt64(out long number) || number < 0)
                throw Error(file, CheckpointFailure.NumberOutOfRange, name, "a negative, fractional or too large number", "0 to 2^63 - 1");
            if (numbers.Count == most)
                throw Error(file, CheckpointFailure.HeaderWrongStructure, name, $"more than {most} numbers", $"at most {most}");
            numbers.Add(number);
        }
        return numbers;
    }

    private static CheckpointException Error(string file, CheckpointFailure failure, string? tensor, string found, string expected) =>
        new(failure, file, tensor, found, expected, Redo);

    private static CheckpointException StructureError(string file, string name, JsonTokenType found, string expected) =>
        Error(file, CheckpointFailure.HeaderWrongStructure, name, $"JSON {found}", expected);

    private static CheckpointException MetadataError(string file, JsonTokenType found) =>
        Error(file, CheckpointFailure.MetadataNotStrings, "__metadata__", $"JSON {found}", "a map from strings to strings");
}

/// <summary>What a header says of one tensor; offsets are relative to the data.</summary>
internal readonly record struct HeaderEntry(TensorType Type, ImmutableArray<long> Shape, long Begin, long End);
