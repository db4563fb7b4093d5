using NeuronQuant.Interop.Torch;
using NeuronQuant.Tuning;
using TorchSharp;
using Xunit;

namespace NeuronQuant.Tests.Tuning;

/// <summary>The tuner that the shared tests of tuners examine: TorchSharp on the CPU in float32, four sequences at once.</summary>
internal static class TunerForTests
{
    public static IBlockTuner Create() => Torch(atOnce: 4);

    /// <summary>A tuner on the CPU; a test is skipped before it touches torch where there is no libtorch, since torch would then throw for ever.</summary>
    public static TorchBlockTuner Torch(torch.ScalarType compute = torch.ScalarType.Float32, int atOnce = 0)
    {
        Assert.SkipUnless(TorchAdapter.Missing is null, $"nothing of TorchSharp was run: {TorchAdapter.Missing}");
        return new TorchBlockTuner(new TorchOptions(torch.CPU, compute, atOnce));
    }
}
