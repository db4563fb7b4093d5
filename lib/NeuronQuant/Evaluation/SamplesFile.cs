using System.Text.Encodings.Web;
using System.Text.Json;

namespace NeuronQuant.Evaluation;

/// <summary>What a samples file is of; its first line.</summary>
/// <param name="Task">the task's name</param>
/// <param name="Model">the model's name</param>
/// <param name="Settings">the task's settings, in words</param>
/// <param name="Items">questions of the task</param>
/// <param name="DataHash">SHA-256 over the questions</param>
public sealed record SamplesHeader(string Task, string Model, string Settings, int Items, string DataHash);

/// <summary>The record of an evaluation: a header line, then one JSON object for each answer.</summary>
/// <remarks>
/// Every batch is appended and flushed, so that an evaluation of hours that was interrupted goes on where it stopped. The header says what
/// the answers are of; a file of another task, model, settings or data is refused, since mixing the two would give a score of nothing. A
/// last line without its end, which an interruption in mid-write leaves, is cut off; a damaged line anywhere else is an error. A byte order
/// mark, which editors of other systems put before the header, is passed over.
/// </remarks>
internal sealed class SamplesFile : IDisposable
{
    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // For readers of the file; it is no part of a web page.
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
    };

    private readonly FileStream _stream;

    private SamplesFile(FileStream stream) => _stream = stream;

    /// <summary>Opens a file to go on with, or begins it.</summary>
    /// <returns>the file, and the answers it already holds</returns>
    public static (SamplesFile File, IReadOnlyList<Sample> Samples) Open(string path, SamplesHeader header)
    {
        var stream = OpenStream(path);
        try
        {
            var file = new SamplesFile(stream);
            var (found, samples, end) = Parse(path, ReadAll(stream));
            if (found is not null) CheckSame(path, found, header);
            stream.SetLength(end);
            stream.Seek(0, SeekOrigin.End);
            if (found is null) file.WriteLine(header);
            return (file, samples);
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>Reads a whole file.</summary>
    public static (SamplesHeader Header, IReadOnlyList<Sample> Samples) Read(string path)
    {
        if (!File.Exists(path))
            throw new EvaluationException(EvaluationFailure.DataNotFound, path, "no such file", "a samples file", "Evaluate the baseline first.");
        var (header, samples, _) = Parse(path, File.ReadAllBytes(path));
        return (header ?? throw Invalid(path, 1, "no header", null), [.. samples.OrderBy(sample => sample.Index)]);
    }

    /// <summary>Appends answers; they are on the disk when this returns.</summary>
    public void Append(IEnumerable<Sample> samples)
    {
        foreach (var sample in samples) WriteLine(sample);
        _stream.Flush(flushToDisk: true);
    }

    public void Dispose() => _stream.Dispose();

    private void WriteLine<T>(T value)
    {
        _stream.Write(JsonSerializer.SerializeToUtf8Bytes(value, Options));
        _stream.WriteByte((byte)'\n');
    }

    private static FileStream OpenStream(string path)
    {
        try
        {
            if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder) Directory.CreateDirectory(folder);
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new EvaluationException(EvaluationFailure.SamplesInvalid, path, error.Message, "a file to write to",
                "Another evaluation may be writing it: wait, or give another file.", error);
        }
    }

    private static byte[] ReadAll(FileStream stream)
    {
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }

    // End is where the last whole line ends.
    private static (SamplesHeader? Header, List<Sample> Samples, long End) Parse(string path, byte[] bytes)
    {
        long end = Array.LastIndexOf(bytes, (byte)'\n') + 1;
        string[] lines = TextFile.DecodeUtf8(path, bytes.AsSpan(0, (int)end)).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        if (lines.Length == 0) return (null, [], 0);
        var header = Line<SamplesHeader>(path, 1, lines[0]);
        var samples = lines.Skip(1).Select((line, index) => Line<Sample>(path, index + 2, line)).ToList();
        var twice = samples.CountBy(sample => sample.Index).FirstOrDefault(pair => pair.Value > 1 || pair.Key < 0 || pair.Key >= header.Items);
        if (twice.Value > 0) throw Invalid(path, 0, $"sample {twice.Key} of {header.Items}, {twice.Value} times", null);
        return (header, samples, end);
    }

    private static T Line<T>(string path, int number, string line)
    {
        try
        {
            return JsonSerializer.Deserialize<T>(line, Options) ?? throw Invalid(path, number, "null", null);
        }
        catch (JsonException error)
        {
            throw Invalid(path, number, $"what is not a {typeof(T).Name} ({error.Message})", error);
        }
    }

    private static void CheckSame(string path, SamplesHeader found, SamplesHeader expected)
    {
        (string What, string Found, string Expected)[] parts =
        [
            ("task", found.Task, expected.Task), ("model", found.Model, expected.Model), ("settings", found.Settings, expected.Settings),
            ("number of questions", $"{found.Items}", $"{expected.Items}"), ("questions", found.DataHash, expected.DataHash),
        ];
        foreach (var (what, was, wanted) in parts)
            if (was != wanted)
                throw new EvaluationException(EvaluationFailure.SamplesStale, path, $"answers of another {what}: \"{was}\"", $"\"{wanted}\"",
                    "Give another file for this evaluation, or delete this one.");
    }

    private static EvaluationException Invalid(string path, int line, string found, Exception? inner) =>
        new(EvaluationFailure.SamplesInvalid, line == 0 ? path : FormattableString.Invariant($"{path}, line {line}"), found,
            "a header line and one sample a line", "Delete the file and evaluate again.", inner);
}
