using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tests;

/// <summary>Weights for tests: normal numbers from a seed, as float32 or bf16.</summary>
public static class TestWeights
{
    public static float[] Normal(int count, int seed, double deviation = 0.02)
    {
        var random = new Random(seed);
        var values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = (float)(deviation * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return values;
    }

    public static ushort[] NormalBf16(int count, int seed, double deviation = 0.02)
    {
        var codes = new ushort[count];
        BFloat16.Encode(Normal(count, seed, deviation), codes);
        return codes;
    }

    public static WeightMatrix Matrix(int rows, int columns, int seed) => WeightMatrix.Of("w", Normal(rows * columns, seed), rows, columns);

    public static WeightMatrix MatrixBf16(int rows, int columns, int seed) => WeightMatrix.OfBf16("w", NormalBf16(rows * columns, seed), rows, columns);
}
