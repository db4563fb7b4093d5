using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>
/// Made-up weights for learning: normal numbers from a seed, rounded to bf16, and if wanted one outlier in each row. The same seed gives
/// the same weights on every machine.
/// </summary>
/// <remarks>SplitMix64 (Steele, Lea and Flood 2014) for the bits, the Box-Muller transform for the bell, bf16 to forget last-bit differences of sin and log.</remarks>
public static class SampleWeights
{
    /// <summary>A matrix of normal weights.</summary>
    /// <param name="rows">output channels</param>
    /// <param name="columns">input channels</param>
    /// <param name="seed">chooses the weights</param>
    /// <param name="deviation">standard deviation, in weight units</param>
    /// <param name="outlier">one weight a row is set to this many deviations; 0 for none</param>
    public static WeightMatrix Normal(int rows, int columns, ulong seed = 1, double deviation = 0.02, double outlier = 0)
    {
        var codes = new ushort[rows * columns];
        for (int i = 0; i < codes.Length; i++)
        {
            double radius = Math.Sqrt(-2 * Math.Log(1 - Uniform(ref seed)));
            codes[i] = BFloat16.Encode((float)(deviation * radius * Math.Cos(2 * Math.PI * Uniform(ref seed))));
        }
        if (outlier != 0)
            for (int row = 0; row < rows; row++) codes[row * columns + row * 7 % columns] = BFloat16.Encode((float)(outlier * deviation));
        return WeightMatrix.OfBf16("sample", codes, rows, columns);
    }

    private static double Uniform(ref ulong state)
    {
        ulong z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return ((z ^ (z >> 31)) >> 11) * (1.0 / (1UL << 53));
    }
}
