using System.Diagnostics;
using NeuronQuant.Tensors;
using Xunit;
using static TorchSharp.torch;

namespace NeuronQuant.Tests.Tensors;

/// <summary>The native half of TorchSharp where the system's C++ library is older than the one it was built with.</summary>
public sealed class TorchLibraryTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("nq-torch-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void It_loads_and_computes()
    {
        TorchLibrary.Load();
        using var product = mm(ones(2, 3), ones(3, 2));
        Assert.Equal(3, product[1, 1].item<float>());
    }

    [Theory]
    [InlineData("libtorch: cannot be loaded: the current directory was deleted or cannot be read. Change to another and start again.", "eval", null)]
    [InlineData("The current directory was deleted or cannot be read. Change to another and start again.", "run", "notebooks")]
    public async Task In_a_folder_that_was_deleted_it_says_so(string expected, string command, string? path)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "there a current directory cannot be deleted");
        string gone = Directory.CreateDirectory(Path.Combine(_folder, "gone")).FullName, nq = typeof(CommandLine.Program).Assembly.Location;
        using var process = Process.Start(Repository.Start("sh", "-c", "cd \"$0\" && rmdir \"$0\" && exec dotnet \"$@\"", gone, nq, command, path ?? Repository.PathOf("data", "demo-model")))!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken), process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken));
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal((1, "", expected), (process.ExitCode, await output, (await error).Trim()));
    }

    [Fact]
    public void The_copy_differs_in_one_flag_and_needs_nothing_absent()
    {
        string published = Published();
        string copy = MendedLibrary.Of(published, _folder);
        var (before, after) = (File.ReadAllBytes(published), File.ReadAllBytes(copy));
        Assert.Equal(before.Length, after.Length);
        int[] changed = [.. Enumerable.Range(0, before.Length).Where(i => before[i] != after[i])];
        // Whether anything is marked depends on the system: with a newer C++ library the published file needs no mending.
        Assert.True(changed.Length <= 1);
        foreach (int at in changed) Assert.Equal(before[at] | 2, after[at]);
        Assert.Equal(["GLIBCXX_3.4.32"], new ElfVersions(before).MakeOptional("libstdc++.so.6", Older()));
    }

    [Fact]
    public void Readelf_sees_the_flag_as_weak()
    {
        byte[] content = File.ReadAllBytes(Published());
        new ElfVersions(content).MakeOptional("libstdc++.so.6", Older());
        string copy = Path.Combine(_folder, "copy.so");
        File.WriteAllBytes(copy, content);
        string? seen = Run("readelf", "--version-info", "--wide", copy);
        Assert.SkipWhen(seen is null, "no readelf on this machine");
        Assert.Contains(seen.Split('\n'), line => line.Contains("Name: GLIBCXX_3.4.32", StringComparison.Ordinal) && line.Contains("Flags: WEAK", StringComparison.Ordinal));
    }

    [Fact]
    public void A_symbol_that_is_used_is_never_made_optional()
    {
        var some = Older().Where(version => version != "GLIBCXX_3.4.21").ToHashSet(); // std::__cxx11::basic_string
        var error = Assert.Throws<NotSupportedException>(() => new ElfVersions(File.ReadAllBytes(Published())).MakeOptional("libstdc++.so.6", some));
        Assert.Contains("GLIBCXX_3.4.21", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_copy_is_made_again_and_a_whole_one_is_kept()
    {
        string copy = MendedLibrary.Of(Published(), _folder);
        byte[] whole = File.ReadAllBytes(copy);
        File.WriteAllBytes(copy, whole[..1000]);
        Assert.Equal(copy, MendedLibrary.Of(Published(), _folder));
        Assert.Equal(whole, File.ReadAllBytes(copy));
        var written = File.GetLastWriteTimeUtc(copy);
        MendedLibrary.Of(Published(), _folder);
        Assert.Equal(written, File.GetLastWriteTimeUtc(copy));
    }

    [Fact]
    public void A_cache_that_cannot_be_written_is_done_without()
    {
        string file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "a file where a folder should be");
        string copy = MendedLibrary.Of(Published(), Path.Combine(file, "cache"));
        Assert.True(File.Exists(copy));
        Assert.False(copy.StartsWith(_folder, StringComparison.Ordinal));
        Directory.Delete(Path.GetDirectoryName(copy)!, recursive: true);
    }

    [Fact]
    public void Many_at_once_leave_one_whole_copy()
    {
        string[] copies = new string[8];
        Parallel.For(0, copies.Length, i => copies[i] = MendedLibrary.Of(Published(), _folder));
        Assert.Single(copies.Distinct());
        Assert.Single(Directory.GetFiles(_folder));
    }

    [Fact]
    public void Any_damage_is_named_and_never_an_endless_loop()
    {
        byte[] whole = File.ReadAllBytes(Published());
        var random = new Random(7);
        for (int i = 0; i < 200; i++)
        {
            byte[] damaged = [.. whole.AsSpan(0, i % 4 == 0 ? random.Next(whole.Length) : whole.Length)];
            // The table of sections lies at the end; flips in it move offsets, sizes and links.
            for (int flips = 0; flips < 20 && damaged.Length > 0; flips++) damaged[Math.Max(0, damaged.Length - 1 - random.Next(4000))] ^= (byte)(1 << random.Next(8));
            try
            {
                new ElfVersions(damaged).MakeOptional("libstdc++.so.6", Older());
            }
            catch (Exception error) when (error is BadImageFormatException or NotSupportedException)
            {
            }
        }
    }

    private static string Published()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && TorchLibrary.Published() is not null, "TorchSharp's library for Linux is not on this machine");
        return TorchLibrary.Published()!;
    }

    // What Debian 12's libstdc++ defines of what the published file needs.
    private static HashSet<string> Older() =>
        ["CXXABI_1.3", "GLIBCXX_3.4", .. Enumerable.Range(1, 13).Select(i => $"CXXABI_1.3.{i}"), .. Enumerable.Range(1, 30).Select(i => $"GLIBCXX_3.4.{i}")];

    private static string? Run(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(Repository.Start(program, arguments))!;
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return output;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }
}
