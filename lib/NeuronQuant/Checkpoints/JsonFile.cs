using System.Text.Json;
using System.Text.Unicode;

namespace NeuronQuant.Checkpoints;

/// <summary>Reads a small JSON file that must be an object, with errors that name it.</summary>
/// <remarks>
/// Names that occur twice are refused: Python keeps the last and other readers the first, so the file has no certain meaning. NaN and
/// Infinity, which Python writes, are refused as well. Depth is limited to 64 by the parser, size by the caller.
/// </remarks>
internal static class JsonFile
{
    private static readonly JsonDocumentOptions Options = new() { AllowDuplicateProperties = false };

    public static JsonDocument Read(string path, long largest, CheckpointFailure missing, CheckpointFailure invalid)
    {
        byte[] bytes = ReadBytes(path, largest, missing, invalid);
        JsonDocument document;
        try
        {
            CheckStrings(bytes);
            document = JsonDocument.Parse(bytes, Options);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw Invalid($"text that is not JSON ({error.Message})", error);
        }
        if (document.RootElement.ValueKind == JsonValueKind.Object) return document;
        using (document) throw Invalid($"JSON {document.RootElement.ValueKind}", null);

        CheckpointException Invalid(string found, Exception? inner)
        {
            var kind = FileKind.Of(bytes);
            return new(invalid, path, null, kind?.Kind ?? found, "a JSON object in which each name occurs once",
                kind?.Remedy ?? "Download the file again or correct it.", inner);
        }
    }

    // A document decodes a string only when it is asked for; a bad one shall fail here, where the error can name the file.
    private static void CheckStrings(byte[] bytes)
    {
        if (!Utf8.IsValid(bytes)) throw new JsonException("bytes that are not UTF-8");
        var reader = new Utf8JsonReader(bytes);
        while (reader.Read())
            if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName) _ = reader.GetString();
    }

    private static byte[] ReadBytes(string path, long largest, CheckpointFailure missing, CheckpointFailure invalid)
    {
        try
        {
            var file = new FileInfo(path);
            if (!file.Exists || FileKind.DanglingTarget(path) is not null)
                throw FileKind.Missing(missing, path, "it beside the weights", "Copy it from the model's repository.");
            if (file.ResolveLinkTarget(returnFinalTarget: true) is FileInfo target) file = target;
            if (file.Length > largest)
                throw new CheckpointException(invalid, path, null, $"{file.Length} bytes", $"at most {largest}", "Check that it is the right file.");
            return File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is not CheckpointException && error is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException(CheckpointFailure.ReadFailed, path, null, error.Message, "a readable file",
                "Check the permissions and the disk.", error);
        }
    }
}
