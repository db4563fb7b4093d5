using System.Runtime.InteropServices;
using NeuronQuant;
using NeuronQuant.Interop.Torch;
using NeuronQuant.Tuning;
using TorchSharp;

[assembly: AdapterRegistration("TorchSharp", typeof(TorchAdapter))]

namespace NeuronQuant.Interop.Torch;

/// <summary>Offers <see cref="TorchBlockTuner"/> to the library. libtorch, which is large, is loaded when a tuner is asked for.</summary>
/// <remarks>
/// TorchSharp itself has no libtorch: the application adds TorchSharp-cpu or TorchSharp-cuda-linux. Without one TorchSharp would print pages to the
/// console before it throws, so its two libraries are tried first.
/// </remarks>
internal static class TorchAdapter
{
    public static string Register()
    {
        string version = PackageOf.Version(typeof(torch));
        BlockTuners.Torch = Open;
        return version;
    }

    private static (IBlockTuner? Tuner, string Reason) Open()
    {
        if (Missing is { } missing) return (null, $"TorchSharp is there, but {missing}");
        bool gpu = torch.cuda.is_available();
        return (new TorchBlockTuner(new TorchOptions(gpu ? torch.CUDA : torch.CPU)), gpu ? "TorchSharp finds a CUDA device" : "TorchSharp is there, without a CUDA device");
    }

    /// <summary>Why libtorch and TorchSharp's own native library cannot be used; null when they can.</summary>
    public static string? Missing { get; } = Load("torch_cpu") ?? Load("LibTorchSharp");

    private static string? Load(string name)
    {
        try
        {
            NativeLibrary.Load(name, typeof(torch).Assembly, null);
            return null;
        }
        catch (Exception error) when (error is DllNotFoundException or BadImageFormatException)
        {
            // The loader's message has a line for each place it looked; one that found the file says what the system lacks.
            string? version = error.Message.Split('\n').FirstOrDefault(line => line.Contains("version `", StringComparison.Ordinal));
            return version is null ? $"{name} is not: build with -p:LibTorch=TorchSharp-cpu or TorchSharp-cuda-linux"
                : $"{name} does not load on this system: {version[version.IndexOf("version `", StringComparison.Ordinal)..].Split(" (")[0].Trim()}";
        }
    }
}
