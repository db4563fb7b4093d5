using System.Diagnostics;
using System.Runtime.InteropServices;

namespace NeuronQuant.Benchmarks;

/// <summary>
/// A C file compiled here and now with gcc, loaded into this process, so that it works on the very arrays that the library works on. Where
/// there is no gcc the benchmark runs without its peer and says so.
/// </summary>
internal sealed class CPeer : IDisposable
{
    private readonly nint _library;
    private readonly string _path;

    private CPeer(string label, string path) => (Label, _path, _library) = (label, path, NativeLibrary.Load(path));

    public string Label { get; }

    public static CPeer? Compile(string source, params string[] flags)
    {
        string path = Path.Combine(Path.GetTempPath(), $"neuronquant-{Path.GetFileNameWithoutExtension(source)}-{Guid.NewGuid():N}.so");
        string file = Path.Combine(AppContext.BaseDirectory, "peers", source);
        try
        {
            using var gcc = Process.Start(new ProcessStartInfo("gcc", [.. flags, "-fopenmp", "-shared", "-fPIC", file, "-o", path, "-lm"]))!;
            gcc.WaitForExit();
            if (gcc.ExitCode == 0) return new CPeer($"C {string.Join(' ', flags)}", path);
            Console.Error.WriteLine($"gcc could not compile {source}: the benchmark runs without this peer.");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Console.Error.WriteLine("gcc is not on this machine: the benchmark runs without its C peer.");
        }
        return null;
    }

    public nint Function(string name) => NativeLibrary.GetExport(_library, name);

    /// <summary>The library stays loaded, for OpenMP's threads still wait in it; its file goes.</summary>
    public void Dispose() => File.Delete(_path);
}
