using NeuronQuant.Interop.Torch;
using NeuronQuant.Tuning;
using TorchSharp;
using Xunit;

namespace NeuronQuant.Tests.Tuning;

/// <summary>The tuner that the shared tests of tuners examine: TorchSharp on the CPU in float32, four sequences at once.</summary>
internal static class TunerForTests
{
    public static IBlockTuner Create() => Torch(new TorchOptions(torch.CPU, SequencesAtOnce: 4));

    public static TorchBlockTuner Torch(TorchOptions options)
    {
        Assert.SkipUnless(TorchAdapter.HasNative, "no libtorch here: nothing of TorchSharp was run");
        return new TorchBlockTuner(options);
    }
}
