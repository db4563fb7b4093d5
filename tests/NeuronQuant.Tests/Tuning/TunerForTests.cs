using NeuronQuant.Tuning;

namespace NeuronQuant.Tests.Tuning;

/// <summary>The tuner that the shared tests of tuners examine.</summary>
internal static class TunerForTests
{
    public static IBlockTuner Create() => new ManagedBlockTuner();
}
