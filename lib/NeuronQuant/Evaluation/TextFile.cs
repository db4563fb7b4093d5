using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using System.Text.Unicode;

namespace NeuronQuant.Evaluation;

/// <summary>Reads a text as it was meant, or not at all: a wrong encoding would give other tokens and a number without meaning.</summary>
/// <remarks>
/// A byte order mark says UTF-8, UTF-16 or UTF-32; without one the text is UTF-8. Bytes that are not of that encoding are an error with their
/// offset. .NET's own File.ReadAllText puts U+FFFD in their place without a word.
/// </remarks>
public static class TextFile
{
    private static readonly (byte[] Mark, int UnitBytes, bool BigEndian)[] Marked =
    [
        ([0xFF, 0xFE, 0, 0], 4, false), // Before UTF-16's FF FE, with which it begins.
        ([0, 0, 0xFE, 0xFF], 4, true),
        ([0xFF, 0xFE], 2, false),
        ([0xFE, 0xFF], 2, true),
    ];

    /// <summary>The text of a file, without its byte order mark.</summary>
    /// <exception cref="EvaluationException">The file is not there or cannot be read, or its bytes are not of its encoding.</exception>
    public static string Read(string path)
    {
        byte[] bytes = Bytes(path);
        foreach (var (mark, unit, bigEndian) in Marked)
            if (bytes.AsSpan().StartsWith(mark)) return Decode(path, bytes, mark.Length, unit, bigEndian);
        return DecodeUtf8(path, bytes);
    }

    /// <summary>The lines of a file; an end of the last line makes no line of its own.</summary>
    /// <exception cref="EvaluationException">As for <see cref="Read"/>.</exception>
    public static IEnumerable<string> Lines(string path)
    {
        using var reader = new StringReader(Read(path));
        while (reader.ReadLine() is { } line) yield return line;
    }

    /// <summary>UTF-8, with a byte order mark or without.</summary>
    internal static string DecodeUtf8(string path, ReadOnlySpan<byte> bytes)
    {
        int skip = bytes.StartsWith(Encoding.UTF8.Preamble) ? Encoding.UTF8.Preamble.Length : 0;
        var characters = new char[Encoding.UTF8.GetMaxCharCount(bytes.Length - skip)];
        var status = Utf8.ToUtf16(bytes[skip..], characters, out int read, out int written, replaceInvalidSequences: false);
        return status == OperationStatus.Done ? new string(characters, 0, written) : throw Invalid(path, skip + read, bytes[skip + read], "UTF-8");
    }

    // By hand, since the offsets that .NET's decoders of UTF-16 report are not those of the bytes at fault.
    private static string Decode(string path, byte[] bytes, int skip, int unit, bool bigEndian)
    {
        var text = new StringBuilder(bytes.Length / unit);
        for (int at = skip, used; at < bytes.Length; at += used)
        {
            used = unit == 4 ? Next32(bytes.AsSpan(at), bigEndian, out var rune) : Next16(bytes.AsSpan(at), bigEndian, out rune);
            if (used == 0) throw Invalid(path, at, bytes[at], $"UTF-{8 * unit}, as its byte order mark says");
            text.Append(rune.ToString());
        }
        return text.ToString();
    }

    // The bytes of the first character; 0 when it is none.
    private static int Next32(ReadOnlySpan<byte> bytes, bool bigEndian, out Rune rune)
    {
        rune = default;
        if (bytes.Length < 4) return 0;
        uint value = bigEndian ? BinaryPrimitives.ReadUInt32BigEndian(bytes) : BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        return Rune.TryCreate(value, out rune) ? 4 : 0;
    }

    private static int Next16(ReadOnlySpan<byte> bytes, bool bigEndian, out Rune rune)
    {
        rune = default;
        if (bytes.Length < 2) return 0;
        char first = Unit(bytes);
        if (Rune.TryCreate(first, out rune)) return 2;
        return bytes.Length >= 4 && Rune.TryCreate(first, Unit(bytes[2..]), out rune) ? 4 : 0;

        char Unit(ReadOnlySpan<byte> two) =>
            (char)(bigEndian ? BinaryPrimitives.ReadUInt16BigEndian(two) : BinaryPrimitives.ReadUInt16LittleEndian(two));
    }

    private static byte[] Bytes(string path)
    {
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new EvaluationException(EvaluationFailure.DataNotFound, path, error is FileNotFoundException or DirectoryNotFoundException
                ? "there is no such file. Correct the path; data are read from this machine and never downloaded."
                : Directory.Exists(path) ? "is a folder. Give the file in it."
                : $"cannot be read ({error.Message}). Give a file that may be read.", error);
        }
    }

    private static EvaluationException Invalid(string path, int offset, byte value, string expected) =>
        new(EvaluationFailure.DataInvalid, path, FormattableString.Invariant($"byte 0x{value:X2} at offset {offset}"), expected,
            "Convert the file to UTF-8 (iconv does), or check that it is a text.");
}
