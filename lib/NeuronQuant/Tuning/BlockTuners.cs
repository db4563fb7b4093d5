namespace NeuronQuant.Tuning;

/// <summary>A tuner that was chosen, and why.</summary>
/// <param name="Tuner">for <see cref="AutoRound"/></param>
/// <param name="Reason">why this one</param>
public sealed record ChosenTuner(IBlockTuner Tuner, string Reason)
{
    /// <summary>"managed: the adapter for TorchSharp is absent."</summary>
    public override string ToString() => $"{Tuner.Name}: {Reason}.";
}

/// <summary>Chooses what tunes a block: TorchSharp where its adapter and a libtorch are there, else the managed kernels.</summary>
public static class BlockTuners
{
    /// <summary>Set by the adapter for TorchSharp: a tuner on the best device there is, or null and the reason.</summary>
    public static Func<(IBlockTuner? Tuner, string Reason)>? Torch { get; set; }

    /// <summary>The best tuner that is there.</summary>
    public static ChosenTuner Choose()
    {
        var adapter = Adapters.Of("TorchSharp");
        if (!adapter.InUse || Torch is not { } open) return new ChosenTuner(new ManagedBlockTuner(), $"the adapter for TorchSharp is {adapter.State}");
        var (tuner, reason) = open();
        return new ChosenTuner(tuner ?? new ManagedBlockTuner(), reason);
    }
}
