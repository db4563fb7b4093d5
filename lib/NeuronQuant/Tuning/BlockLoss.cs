using NeuronQuant.Models;

namespace NeuronQuant.Tuning;

/// <summary>How far a block's output is from its original's: the mean squared difference over the positions that count.</summary>
/// <remarks>
/// Both tensors are multiplied by a mask of ones and zeros first, and the divisor counts every value, masked or not, as auto-round has it
/// (algorithms/quantization/sign_round/quantizer.py:142-150). Sums run in float64 over fixed parts of rows.
/// </remarks>
internal static class BlockLoss
{
    /// <summary>The loss; <paramref name="output"/> becomes its gradient, 2 * (output - target) * mask / values.</summary>
    /// <param name="output">[sequences * length, width]</param>
    /// <param name="targets">one array [length, width] for each sequence</param>
    /// <param name="counted">one array [length] for each sequence</param>
    /// <param name="length">tokens of a sequence</param>
    /// <param name="width">values of a token</param>
    public static double ForwardBackward(float[] output, ReadOnlyMemory<float[]> targets, ReadOnlyMemory<bool[]> counted, int length, int width)
    {
        int rows = targets.Length * length;
        var partial = new double[RowParts.Count(rows)];
        float factor = 2f / ((float)rows * width);
        RowParts.Run(rows, (part, first, last) =>
        {
            for (int row = first; row < last; row++)
            {
                var values = output.AsSpan(row * width, width);
                if (!counted.Span[row / length][row % length])
                {
                    values.Clear();
                    continue;
                }
                ReadOnlySpan<float> target = targets.Span[row / length].AsSpan(row % length * width, width);
                double sum = 0;
                for (int i = 0; i < width; i++)
                {
                    float difference = values[i] - target[i];
                    sum += (double)difference * difference;
                    values[i] = factor * difference;
                }
                partial[part] += sum;
            }
        });
        return partial.Sum() / ((double)rows * width);
    }
}
