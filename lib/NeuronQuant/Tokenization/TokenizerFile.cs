using System.Text.Json;
using System.Text.Unicode;

namespace NeuronQuant.Tokenization;

/// <summary>Reads a tokenizer's JSON file, with errors that name it.</summary>
/// <remarks>A name that occurs twice is refused, since Python keeps the last and others the first: such a file has no certain meaning.</remarks>
internal static class TokenizerFile
{
    private const long LargestFile = 512L << 20; // Bytes; the largest in use, with 260,000 tokens, have about 35 MB.

    private static readonly JsonDocumentOptions Options = new() { AllowDuplicateProperties = false };

    public static JsonDocument Parse(string path)
    {
        byte[] bytes = ReadBytes(path);
        try
        {
            CheckStrings(bytes);
            var document = JsonDocument.Parse(bytes, Options);
            if (document.RootElement.ValueKind == JsonValueKind.Object) return document;
            using (document) throw NotJson(path, $"JSON {document.RootElement.ValueKind}", null);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw NotJson(path, $"text that is not JSON ({error.Message})", error);
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

    private static byte[] ReadBytes(string path)
    {
        try
        {
            var file = new FileInfo(path);
            if (!file.Exists)
                throw new TokenizerException(TokenizerFailure.NotFound, path, "file", "no such file", "a tokenizer.json",
                    "Copy it from the model's repository; a tokenizer.model alone is not read.");
            if (file.ResolveLinkTarget(returnFinalTarget: true) is FileInfo target) file = target;
            if (file.Length > LargestFile) throw NotJson(path, $"{file.Length} bytes", null);
            return File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is not TokenizerException && error is IOException or UnauthorizedAccessException)
        {
            throw new TokenizerException(TokenizerFailure.ReadFailed, path, "file", error.Message, "a readable file",
                "Check the permissions and the disk.", error);
        }
    }

    private static TokenizerException NotJson(string path, string found, Exception? inner) =>
        new(TokenizerFailure.NotJson, path, "file", found, "a JSON object in which each name occurs once", "Download the file again.", inner);
}
