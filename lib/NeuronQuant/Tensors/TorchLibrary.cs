using System.Reflection;
using System.Runtime.InteropServices;
using TorchSharp;

namespace NeuronQuant.Tensors;

/// <summary>Loads libtorch and TorchSharp's native half, once, before anything touches a tensor.</summary>
/// <remarks>
/// <para>Left to itself TorchSharp looks beside the program, and where it finds nothing copies 600 MB. Here both files are looked for beside the
/// library (an output that was made portable), and then in the package folders that the build wrote down. libtorch comes first, by full path;
/// TorchSharp's half then finds it loaded. On Linux, where that half asks for a newer C++ library than the system has, a mended copy of it is
/// taken (<see cref="MendedLibrary"/>); where the plain file loads, nothing is copied.</para>
/// <para>Everything here that needs a tensor calls <see cref="Load"/> first; a notebook has done so by <c>Workbook.Start()</c>.</para>
/// </remarks>
public static class TorchLibrary
{
    private const string SpinCount = "GOMP_SPINCOUNT";

    private static readonly Lock Gate = new();
    private static bool _loaded;

    /// <summary>Loads the libraries; a second call does nothing.</summary>
    /// <exception cref="TorchException">they are not there, or this system cannot load them</exception>
    public static void Load()
    {
        if (Volatile.Read(ref _loaded)) return;
        lock (Gate)
        {
            if (_loaded) return;
            LoadOnce();
            Volatile.Write(ref _loaded, true);
        }
    }

    /// <summary>The version of the libtorch that is loaded, as it says itself: "2.10.0".</summary>
    /// <exception cref="TorchException">it cannot be loaded</exception>
    public static string Version()
    {
        Load();
        string folder = Path.GetDirectoryName(Find("LibTorch", FileName("torch")))!;
        if (!NativeLibrary.TryLoad(Path.Combine(folder, FileName("torch_cpu")), out nint handle)
            || !NativeLibrary.TryGetExport(handle, "aoti_torch_abi_version", out nint address)) return "of an unknown version";
        ulong version = Marshal.GetDelegateForFunctionPointer<AbiVersion>(address)(); // major, minor, patch in the three highest bytes
        return $"{version >> 56}.{version >> 48 & 255}.{version >> 40 & 255}";
    }

    /// <summary>TorchSharp's native half as its package has it; null where it is not on this machine.</summary>
    internal static string? Published()
    {
        try
        {
            return Find("TorchSharp", FileName("LibTorchSharp"));
        }
        catch (DllNotFoundException)
        {
            return null;
        }
    }

    private delegate ulong AbiVersion();

    private static string OperatingSystemName => OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : "linux";

    private static string Platform => $"{OperatingSystemName}-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";

    private static void LoadOnce()
    {
        HaveAFolder();
        SpinBriefly();
        KeepFreedMemory();
        nint half;
        try
        {
            NativeLibrary.Load(Find("LibTorch", FileName("torch")));
            half = LoadHalf(Find("TorchSharp", FileName("LibTorchSharp")));
        }
        catch (Exception error) when (error is DllNotFoundException or NotSupportedException or BadImageFormatException or IOException or UnauthorizedAccessException)
        {
            throw new TorchException("libtorch", $"cannot be loaded on {Platform}: {error.Message} Models, tuning and grading need it; everything else works without.", error);
        }
        NativeLibrary.SetDllImportResolver(typeof(torch).Assembly, (name, _, _) => name == "LibTorchSharp" ? half : 0);
        torch.InitializeDeviceType(DeviceType.CPU);
    }

    // MKL ends the process where the current directory was deleted, and says that it cannot load a file that is there.
    private static void HaveAFolder()
    {
        try
        {
            Directory.GetCurrentDirectory();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new TorchException("libtorch", "cannot be loaded: the current directory was deleted or cannot be read. Change to another and start again.", error);
        }
    }

    // Threads that wait for each other at the end of every operation spin, on a busy machine for most of the time that the others need to come. OpenMP reads
    // the variable when it is loaded, and from C's environment, which .NET's does not reach. What the user has set stays.
    private static void SpinBriefly()
    {
        string?[] chosen = [Environment.GetEnvironmentVariable("OMP_WAIT_POLICY"), Environment.GetEnvironmentVariable(SpinCount)];
        if (OperatingSystem.IsLinux() && chosen.All(value => value is null)) _ = setenv(SpinCount, "1000", 0);
    }

    [DllImport("libc")]
    private static extern int setenv([MarshalAs(UnmanagedType.LPUTF8Str)] string name, [MarshalAs(UnmanagedType.LPUTF8Str)] string value, int overwrite);

    // A tensor of a megabyte is otherwise mapped and given back at every operation, and the system clears its pages each time: a tenth of grading a small
    // model. Torch.Trim gives it back between blocks.
    private static void KeepFreedMemory()
    {
        const int TrimThreshold = -1, MapThreshold = -3, Gigabyte = 1 << 30;
        if (!OperatingSystem.IsLinux() || RuntimeInformation.RuntimeIdentifier.Contains("musl", StringComparison.Ordinal)) return;
        _ = mallopt(TrimThreshold, Gigabyte);
        _ = mallopt(MapThreshold, Gigabyte);
    }

    [DllImport("libc")]
    private static extern int mallopt(int option, int value);

    private static nint LoadHalf(string file)
    {
        try
        {
            return NativeLibrary.Load(file);
        }
        catch (DllNotFoundException error) when (OperatingSystem.IsLinux() && error.Message.Contains("GLIBCXX_", StringComparison.Ordinal))
        {
            return NativeLibrary.Load(MendedLibrary.Of(file, MendedLibrary.Cache));
        }
    }

    private static string FileName(string name) => OperatingSystem.IsWindows() ? $"{name}.dll" : OperatingSystem.IsMacOS() ? $"lib{name}.dylib" : $"lib{name}.so";

    private static string Find(string package, string file)
    {
        var assembly = typeof(TorchLibrary).Assembly;
        string beside = Path.GetDirectoryName(assembly.Location) ?? "";
        string? built = assembly.GetCustomAttributes<AssemblyMetadataAttribute>().FirstOrDefault(entry => entry.Key == package)?.Value;
        string[] folders = [beside, Path.Combine(beside, "runtimes", Platform, "native"), .. built is null ? Array.Empty<string>() : [built]];
        return folders.Select(folder => Path.Combine(folder, file)).FirstOrDefault(File.Exists)
            ?? throw new DllNotFoundException(built is null ? $"no package has {file} for this platform; give a folder that has it, dotnet build -c Release -p:LibTorch=FOLDER."
                : $"{file} is neither beside the library nor in the package folder where the build found it. Build again: dotnet build -c Release.");
    }
}
