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
        if (!HasNative) return (null, "TorchSharp is there, but no libtorch: build with -p:LibTorch=TorchSharp-cpu or TorchSharp-cuda-linux");
        bool gpu = torch.cuda.is_available();
        return (new TorchBlockTuner(new TorchOptions(gpu ? torch.CUDA : torch.CPU)), gpu ? "TorchSharp finds a CUDA device" : "TorchSharp is there, without a CUDA device");
    }

    /// <summary>Whether libtorch and TorchSharp's own native library can be loaded.</summary>
    public static bool HasNative { get; } = TryLoad("torch_cpu") & TryLoad("LibTorchSharp");

    private static bool TryLoad(string name) => NativeLibrary.TryLoad(name, typeof(torch).Assembly, null, out _);
}
