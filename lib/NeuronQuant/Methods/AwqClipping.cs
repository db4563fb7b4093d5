using NeuronQuant.Quantization;
using NeuronQuant.Tensors;

namespace NeuronQuant.Methods;

/// <summary>AWQ's search for ranges: like <see cref="Clipping"/>, but the error is that of the output on real inputs.</summary>
/// <remarks>
/// auto_clip.py:11-63 of mit-han-lab/llm-awq: for each row and group the range is shrunk to 1 - i/20, i = 0 ... 9, and the factor with the least
/// mean over tokens of (x . (w - Q(clamp w)))^2 is kept, the products taken within the group. With H = sum x x^T that is d H d^T, and H of all
/// tokens costs no more than that of 512. A factor of 1 is among them, so no row gets worse.
/// </remarks>
public static class AwqClipping
{
    private const int Factors = 10;

    private const double Step = 0.05;

    /// <summary>Searches the factor of each scale, and quantizes with it.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="gram">of its inputs</param>
    /// <param name="grid">any</param>
    public static QuantizedWeight Search(WeightMatrix weight, GramMatrix gram, Grid grid)
    {
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(gram);
        int groups = grid.GroupsIn(weight.Columns);
        var (best, least) = (new float[weight.Rows * groups], new double[weight.Rows * groups]);
        Array.Fill(least, double.PositiveInfinity);
        for (int i = 0; i < Factors; i++)
        {
            float factor = (float)(1 - i * Step);
            double[] errors = Errors(weight, gram, Clipping.At(weight, grid, [.. Enumerable.Repeat(factor, best.Length)]));
            for (int at = 0; at < best.Length; at++)
                if (errors[at] < least[at]) (best[at], least[at]) = (factor, errors[at]);
        }
        return Clipping.At(weight, grid, best);
    }

    /// <summary>d H d^T of every row and group, [rows * groups].</summary>
    internal static double[] Errors(WeightMatrix weight, GramMatrix gram, QuantizedWeight quantized)
    {
        int groups = quantized.Groups, size = quantized.GroupSize;
        var errors = new double[weight.Rows * groups];
        Torch.Run(() =>
        {
            var d = TensorConversion.Share(quantized.Dequantize(), weight.Rows, weight.Columns)
                - TensorConversion.Share(weight.ToArray(), weight.Rows, weight.Columns);
            for (int group = 0; group < groups; group++)
            {
                long first = group * size, count = Math.Min(size, weight.Columns - first);
                var part = d.narrow(1, first, count);
                var h = gram.ToTensor().narrow(0, first, count).narrow(1, first, count);
                float[] sums = part.mm(h).mul_(part).sum([1L]).ToFloats();
                for (int row = 0; row < weight.Rows; row++) errors[row * groups + group] = sums[row];
            }
        });
        return errors;
    }
}

/// <summary>A weight rounded with its columns scaled.</summary>
internal static class ScaledWeight
{
    /// <summary>Q(W s) / s, [out, in].</summary>
    public static float[] Rounded(WeightMatrix weight, Grid grid, double[] scales)
    {
        float[] values = weight.ToArray();
        for (int i = 0; i < values.Length; i++) values[i] = (float)(values[i] * scales[i % scales.Length]);
        values = FakeQuantization.OnGrid(WeightMatrix.Of(weight.Name, values, weight.Rows, weight.Columns), grid).Dequantize();
        for (int i = 0; i < values.Length; i++) values[i] = (float)(values[i] / scales[i % scales.Length]);
        return values;
    }
}
