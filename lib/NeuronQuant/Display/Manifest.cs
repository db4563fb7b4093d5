using System.Globalization;
using System.Numerics;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Encodings.Web;
using Microsoft.Data.Analysis;

namespace NeuronQuant.Display;

/// <summary>One file that a result was made from.</summary>
/// <param name="Name">Its name without the folder, which would tell where someone keeps files and differ on the next machine.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="Sha256">The hash of its content, in hexadecimal.</param>
public sealed record ManifestFile(string Name, long Bytes, string Sha256);

/// <summary>The record of what produced a result: files, seed, parameters, versions, machine and time.</summary>
/// <remarks>
/// Two results can be compared when their manifests agree on files, seed, parameters and library version. The machine is there because
/// sums of floats differ in the last bits with the width of the vector unit. It holds no path, user or host name. A manifest contains
/// the time, so it belongs in a file beside the result; a notebook that shows one has an output that changes with every run.
/// </remarks>
/// <param name="Files">What was read, in the order given.</param>
/// <param name="Seed">The seed of every random choice; null when nothing was random.</param>
/// <param name="Parameters">Names and values of what was asked for, by name.</param>
/// <param name="Library">Version of NeuronQuant.</param>
/// <param name="Runtime">The .NET runtime.</param>
/// <param name="System">The operating system.</param>
/// <param name="Architecture">Of the processor, such as X64.</param>
/// <param name="Processors">Logical processors that the process may use.</param>
/// <param name="SimdBits">Width of the widest vector the runtime uses, in bits.</param>
/// <param name="Time">When it was made, UTC.</param>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record Manifest(
    IReadOnlyList<ManifestFile> Files,
    long? Seed,
    IReadOnlyDictionary<string, string> Parameters,
    string Library,
    string Runtime,
    string System,
    string Architecture,
    int Processors,
    int SimdBits,
    DateTimeOffset Time)
{
    private static readonly JsonSerializerOptions Indented = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>The version of this library.</summary>
    public static string LibraryVersion { get; } =
        typeof(Manifest).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0];

    /// <summary>Reads and hashes the files and records this machine.</summary>
    /// <param name="files">What the result was made from, such as all shards of a checkpoint.</param>
    /// <param name="seed">The seed of every random choice.</param>
    /// <param name="parameters">What was asked for. Give no path that should not be published.</param>
    /// <param name="clock">For tests; the system's clock when null.</param>
    /// <param name="cancellation">Stops the hashing of large files.</param>
    /// <exception cref="FileNotFoundException">A file is not there.</exception>
    public static Manifest Create(IEnumerable<string> files, long? seed = null, IEnumerable<KeyValuePair<string, object?>>? parameters = null,
        TimeProvider? clock = null, CancellationToken cancellation = default) => new(
            [.. files.Select(path => Hash(path, cancellation))],
            seed,
            new SortedDictionary<string, string>((parameters ?? [])
                .ToDictionary(p => p.Key, p => Convert.ToString(p.Value, CultureInfo.InvariantCulture) ?? ""), StringComparer.Ordinal),
            LibraryVersion,
            RuntimeInformation.FrameworkDescription,
            RuntimeInformation.OSDescription,
            RuntimeInformation.ProcessArchitecture.ToString(),
            Environment.ProcessorCount,
            VectorBits(),
            (clock ?? TimeProvider.System).GetUtcNow());

    /// <summary>The manifest as indented JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Indented) + "\n";

    /// <summary>Writes <see cref="ToJson"/> to a file.</summary>
    public void Save(string path) => File.WriteAllText(path, ToJson());

    /// <summary>Reads what <see cref="Save"/> wrote.</summary>
    /// <exception cref="InvalidDataException">The file is no manifest.</exception>
    public static Manifest Load(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<Manifest>(File.ReadAllText(path), Indented) ?? throw new JsonException("it is null");
        }
        catch (JsonException exception)
        {
            throw new InvalidDataException($"{Path.GetFileName(path)} is not a manifest ({exception.Message}): write one with Manifest.Save.",
                exception);
        }
    }

    /// <summary>One row for each fact.</summary>
    public DataFrame ToDataFrame()
    {
        var table = new FrameRows("Manifest", "what", new Column("value"));
        foreach (var file in Files) table.Row(file.Name, $"{file.Bytes.ToString("N0", CultureInfo.InvariantCulture)} bytes, SHA-256 {file.Sha256}");
        if (Seed is not null) table.Row("seed", Seed);
        foreach (var (name, value) in Parameters) table.Row(name, value);
        return table.Row("NeuronQuant", Library).Row(".NET", Runtime)
            .Row("machine", $"{System}, {Architecture}, {Processors} processors, {SimdBits}-bit vectors")
            .Row("time (UTC)", Time.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture));
    }

    /// <summary>The table as HTML.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <summary>The table as text.</summary>
    public override string ToString() => ToDataFrame().ToText();

    private static int VectorBits() => global::System.Runtime.Intrinsics.Vector512.IsHardwareAccelerated ? 512 : Vector<byte>.Count * 8;

    private static ManifestFile Hash(string path, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1, FileOptions.SequentialScan);
        var buffer = new byte[1 << 20];
        var length = 0L;
        for (int read; (read = stream.Read(buffer)) > 0; length += read)
        {
            cancellation.ThrowIfCancellationRequested();
            hash.AppendData(buffer, 0, read);
        }
        return new ManifestFile(Path.GetFileName(path), length, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }
}
