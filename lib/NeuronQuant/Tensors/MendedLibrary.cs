using System.Security.Cryptography;

namespace NeuronQuant.Tensors;

/// <summary>A copy of TorchSharp's native half that Debian 12, Ubuntu 22.04 and Amazon Linux 2023 can load.</summary>
/// <remarks>
/// <para>The published file asks for GLIBCXX_3.4.32 of the C++ library, which those systems lack. The only symbol of that version is
/// std::ios_base_library_init, a marker that an include of GCC 13 leaves behind and that nothing calls. The copy says that the version is
/// optional; that no relocation uses it is checked first, on the file at hand.</para>
/// <para>The copy's name holds the digest of its content, and it is compared before use: any number of processes may make it at once, and a
/// damaged one is made again. Where the user's cache cannot be written, a private folder of this process takes its place.</para>
/// </remarks>
internal static class MendedLibrary
{
    private const string StandardLibrary = "libstdc++.so.6";

    /// <summary>The user's cache: XDG_CACHE_HOME, else ~/.cache.</summary>
    public static string Cache => Path.Combine(
        Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } cache && Path.IsPathRooted(cache) ? cache
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache"), "neuronquant");

    /// <summary>Makes the copy, or finds it.</summary>
    /// <param name="library">the file as published</param>
    /// <param name="cache">a folder of the user's</param>
    /// <returns>the copy's path</returns>
    /// <exception cref="NotSupportedException">a symbol of an absent version is used: the copy would break later</exception>
    /// <exception cref="BadImageFormatException">the file is damaged</exception>
    public static string Of(string library, string cache)
    {
        byte[] content = File.ReadAllBytes(library);
        new ElfVersions(content).MakeOptional(StandardLibrary, new ElfVersions(File.ReadAllBytes(LoadedStandardLibrary())).Defined());
        string name = $"{Convert.ToHexStringLower(SHA256.HashData(content))[..16]}-{Path.GetFileName(library)}";
        try
        {
            return Store(content, Path.Combine(cache, name));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return Store(content, Path.Combine(Directory.CreateTempSubdirectory("neuronquant-").FullName, name));
        }
    }

    private static string Store(byte[] content, string target)
    {
        if (File.Exists(target) && File.ReadAllBytes(target).AsSpan().SequenceEqual(content)) return target;
        string folder = Path.GetDirectoryName(target)!;
        Directory.CreateDirectory(folder);
        string temporary = Path.Combine(folder, Path.GetRandomFileName());
        File.WriteAllBytes(temporary, content);
        File.Move(temporary, target, overwrite: true); // whole or not at all; a process that has the old file mapped keeps it
        return target;
    }

    // Where there are several, only the one that is mapped counts. The runtime itself maps it.
    private static string LoadedStandardLibrary() =>
        File.ReadLines("/proc/self/maps").Select(line => line[(line.LastIndexOf(' ') + 1)..])
            .FirstOrDefault(path => Path.GetFileName(path).StartsWith("libstdc++.so", StringComparison.Ordinal))
        ?? throw new NotSupportedException($"{StandardLibrary} is not loaded, so what it has cannot be known");
}
