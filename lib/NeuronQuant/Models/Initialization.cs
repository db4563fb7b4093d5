namespace NeuronQuant.Models;

/// <summary>Random weights to start training from.</summary>
/// <remarks>
/// Weights are normal, with deviation 0.02 if no other is asked for, biases zero, norms one. The two projections of each layer that write to the
/// residual stream get deviation / sqrt(2 * layers), so that the stream's variance does not grow with depth (Radford et al., GPT-2, 2019). Numbers come
/// from splitmix64 and Box-Muller, written here so that a seed means the same weights on any runtime.
/// </remarks>
public static class Initialization
{
    /// <summary>GPT-2's.</summary>
    public const double Deviation = 0.02;

    /// <summary>Fills all parameters of a model.</summary>
    /// <param name="model">the model</param>
    /// <param name="seed">the same seed gives the same bits</param>
    /// <param name="deviation">of a linear weight and of the embedding; a thin model learns faster from a larger one</param>
    public static void Fill(LlamaModel model, ulong seed, double deviation = Deviation)
    {
        ArgumentNullException.ThrowIfNull(model);
        var random = new RandomNumbers(seed);
        double residual = deviation / Math.Sqrt(2.0 * model.Config.LayerCount);
        foreach (var parameter in model.Parameters)
        {
            if (parameter.Name.EndsWith("norm.weight", StringComparison.Ordinal)) parameter.Set([.. Enumerable.Repeat(1f, parameter.Rows)]);
            else if (parameter.Name.EndsWith(".bias", StringComparison.Ordinal)) parameter.Set(new float[parameter.Rows]);
            else parameter.Set(Normal(parameter.Rows * parameter.Columns, WritesToStream(parameter) ? residual : deviation, random));
        }
    }

    private static bool WritesToStream(Parameter parameter) =>
        parameter.Name.EndsWith("o_proj.weight", StringComparison.Ordinal) || parameter.Name.EndsWith("down_proj.weight", StringComparison.Ordinal);

    private static float[] Normal(int count, double deviation, RandomNumbers random) =>
        [.. Enumerable.Range(0, count).Select(_ => (float)(deviation * random.Normal()))];
}

/// <summary>A small generator whose sequence belongs to its seed for ever: splitmix64 (Steele, Lea and Flood, 2014).</summary>
/// <param name="seed">start of the sequence</param>
public sealed class RandomNumbers(ulong seed)
{
    private ulong _state = seed;

    /// <summary>The next 64 bits.</summary>
    public ulong Next()
    {
        ulong z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>Uniform in [0, 1).</summary>
    public double Uniform() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Normal with mean 0 and deviation 1.</summary>
    public double Normal() => Math.Sqrt(-2 * Math.Log(1 - Uniform())) * Math.Cos(2 * Math.PI * Uniform());
}
