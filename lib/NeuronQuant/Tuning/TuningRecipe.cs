namespace NeuronQuant.Tuning;

/// <summary>How long and how boldly AutoRound learns; the named ones are auto-round's own.</summary>
/// <remarks>
/// auto-round cli/main.py:117-142 and sign_round/config.py:23-42. The rate falls linearly from Rate to 0, and each step moves a number by
/// exactly the rate, so a rounding offset cannot travel farther than Rate * (Iterations + 1) / 2: 0.5025 for Default, 0.1275 for Light.
/// Range factors learn at the same rate. At 8 bits one step of 0.005 moves the largest weight by 0.6 of a code, so
/// <c>TuningRecipe.Default with { Rate = 1e-3 }</c> is gentler there; which of the two is better depends on the model, so compare.
/// </remarks>
/// <param name="Name">what reports call it</param>
/// <param name="Iterations">updates of each block</param>
/// <param name="Rate">the first step's length, in codes for rounding and as a factor for ranges</param>
/// <param name="Samples">calibration sequences at most</param>
/// <param name="BatchSize">sequences of one update</param>
/// <param name="SequenceLength">tokens of a calibration sequence</param>
/// <param name="Seed">order of the minibatches</param>
public sealed record TuningRecipe(
    string Name, int Iterations, double Rate, int Samples = 128, int BatchSize = 8, int SequenceLength = 2048, ulong Seed = 42)
{
    private const int FewBits = 3; // Up to here auto-round's best recipe doubles the rate.

    /// <summary>200 iterations at 1/200.</summary>
    public static TuningRecipe Default { get; } = new("default", 200, 1.0 / 200);

    /// <summary>50 iterations at 0.005.</summary>
    public static TuningRecipe Light { get; } = new("light", 50, 5e-3);

    /// <summary>1000 iterations at 1/1000, or 2/1000 for modules of three bits or less; 512 sequences.</summary>
    public static TuningRecipe Best { get; } = new("best", 1000, 1.0 / 1000, Samples: 512) { FewBitsFactor = 2 };

    /// <summary>What the rate is multiplied by for modules of three bits or less.</summary>
    public double FewBitsFactor { get; init; } = 1;

    /// <summary>The rate of an iteration, counted from 0, for a module of so many bits.</summary>
    public double RateAt(int iteration, int bits) => Rate * (bits <= FewBits ? FewBitsFactor : 1) * (1 - (double)iteration / Iterations);

    /// <summary>A recipe by its name (default, light, best).</summary>
    /// <exception cref="ArgumentException">no recipe has that name</exception>
    public static TuningRecipe Parse(string name) => name switch
    {
        "default" => Default,
        "light" => Light,
        "best" => Best,
        _ => throw new ArgumentException($"'{name}' is not a recipe. Use default, light or best.", nameof(name)),
    };

    internal void Check()
    {
        if (Iterations < 1 || !(Rate > 0) || BatchSize < 1 || Samples < 1 || SequenceLength < 2)
            throw new TuningException($"recipe {Name}",
                $"{Iterations} iterations at {Rate}, {Samples} samples of {SequenceLength} tokens in batches of {BatchSize}; "
                + "expected at least one of each, a rate above 0 and two tokens. Correct the recipe.");
    }
}
