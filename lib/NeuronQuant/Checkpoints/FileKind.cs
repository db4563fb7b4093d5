using System.Text;

namespace NeuronQuant.Checkpoints;

/// <summary>Says what a file is that is not what its name promises, from its first bytes: a pointer, another format, a web page.</summary>
/// <remarks>
/// A clone without git-lfs leaves pointers of 130 bytes, a download behind a login page leaves HTML, and a rename makes no safetensors of GGUF or of
/// a pickle. A dangling link is what the hub's cache leaves when a blob was removed. The signatures are the formats' own.
/// </remarks>
internal static class FileKind
{
    private static readonly char[] BeforeText = ['\u00EF', '\u00BB', '\u00BF', ' ', '\r', '\n', '\t']; // a mark of UTF-8 and white space

    private const int Looked = 512; // Bytes; every signature and the start of an HTML page lie within.

    private static readonly (string Start, string Kind, string Remedy)[] Texts =
    [
        ("version https://git-lfs", "a git-lfs pointer, not the file itself", "Fetch the content: git lfs pull, in the clone; or hf download."),
        ("<!doctype", Page, PageRemedy), ("<html", Page, PageRemedy), ("<?xml", "an XML document", "Fetch the file itself."),
    ];

    private static readonly (byte[] Start, string Kind, string Remedy)[] Signatures =
    [
        ("GGUF"u8.ToArray(), "a GGUF file of llama.cpp", "Use the original safetensors checkpoint: GGUF weights are quantized already, as a rule."),
        ("ggml"u8.ToArray(), "a GGML file of llama.cpp", "Use the original safetensors checkpoint."),
        ("PK\u0003\u0004"u8.ToArray(), "a zip archive, such as torch.save writes (pytorch_model.bin)", Convert),
        ([0x80, 0x02], "a Python pickle", Convert), ([0x80, 0x03], "a Python pickle", Convert), ([0x80, 0x04], "a Python pickle", Convert),
        ([0x80, 0x05], "a Python pickle", Convert),
        ([0x1F, 0x8B], "a gzip archive", "Unpack it."), ([0x28, 0xB5, 0x2F, 0xFD], "a zstd archive", "Unpack it."),
        ([0x89, (byte)'H', (byte)'D', (byte)'F'], "an HDF5 file", "Use the safetensors checkpoint."),
        ([0x93, (byte)'N', (byte)'U', (byte)'M'], "a NumPy array", "Use the safetensors checkpoint."),
    ];

    private const string Page = "a web page (HTML)";
    private const string PageRemedy = "The download got a page instead of the file, perhaps a login: log in (hf auth login) and fetch it again.";
    private const string Convert = "Convert it once: load the model with transformers and save_pretrained(folder, safe_serialization=True).";

    /// <summary>What a readable file is, with the remedy; null when its first bytes tell nothing.</summary>
    public static (string Kind, string Remedy)? Of(string path)
    {
        try
        {
            using var handle = File.OpenHandle(path);
            var bytes = new byte[Looked];
            return Of(bytes.AsSpan(0, RandomAccess.Read(handle, bytes, 0)));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>What a file with these first bytes is.</summary>
    public static (string Kind, string Remedy)? Of(ReadOnlySpan<byte> start)
    {
        foreach (var (signature, kind, remedy) in Signatures)
            if (start.StartsWith(signature)) return (kind, remedy);
        string text = Encoding.Latin1.GetString(start[..Math.Min(start.Length, Looked)]).TrimStart(BeforeText);
        foreach (var (prefix, kind, remedy) in Texts)
            if (text.StartsWith(prefix, StringComparison.OrdinalIgnoreCase)) return (kind, remedy);
        return null;
    }

    /// <summary>Where a link leads whose target is not there; null for anything else.</summary>
    public static string? DanglingTarget(string path)
    {
        try
        {
            var link = new FileInfo(path);
            return link.LinkTarget is { } target && link.ResolveLinkTarget(returnFinalTarget: true) is not { Exists: true } ? target : null;
        }
        catch (IOException)
        {
            return new FileInfo(path).LinkTarget; // A link in a circle.
        }
    }

    /// <summary>The error of a file that is not there: a dangling link says so.</summary>
    public static CheckpointException Missing(CheckpointFailure failure, string path, string expected, string remedy)
    {
        if (DanglingTarget(path) is not { } target) return new CheckpointException(failure, path, null, "no such file", expected, remedy);
        string? command = HubCache.DownloadCommand(Path.GetDirectoryName(Path.GetFullPath(path))!);
        return new CheckpointException(failure, path, null, $"a link to {target}, which is not there", expected, command is null
            ? "Fetch the file again, or correct the link." : $"The hub's cache has lost the file; fetch it again with: {command}");
    }
}
