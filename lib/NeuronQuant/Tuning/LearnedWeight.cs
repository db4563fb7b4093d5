using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>One weight while it is tuned: rounding offsets V, range factors alpha and beta of each channel, and the best codes so far.</summary>
/// <remarks>
/// V starts at 0, alpha and beta at 1, so the first codes are those of rounding to nearest (rule R1 on the nxd grid). What is kept of the
/// best iteration is its codes and scales, a byte a weight, which is the result itself.
/// </remarks>
internal sealed class LearnedWeight
{
    private readonly float[] _original, _offsets;
    private readonly LearnedChannels _channels;
    private readonly QuantizedWeight _best;

    public LearnedWeight(string name, float[] original, int rows, int columns, Grid grid)
    {
        (_original, Rows, Columns, _channels) = (original, rows, columns, new LearnedChannels(name, original, rows, columns, grid));
        _offsets = new float[original.Length];
        _best = new QuantizedWeight(name, grid, Granularity.PerChannelSymmetric, rows, columns, new byte[original.Length], new float[rows]);
    }

    public int Rows { get; }

    public int Columns { get; }

    public Grid Grid => _channels.Grid;

    /// <summary>Rounding offsets in codes, [rows, columns].</summary>
    public float[] Offsets => _offsets;

    /// <summary>Factors of the negative and of the positive side, [rows] each.</summary>
    public (float[] Alpha, float[] Beta) Factors => (_channels.Alpha, _channels.Beta);

    /// <summary>The scale of a channel as the factors are now, and the index of its pinned weight, or -1.</summary>
    public (ChannelScale Channel, int Pinned) Channel(int row) => _channels[row];

    /// <summary>Writes scale * code of every weight.</summary>
    /// <param name="target">[rows, columns]</param>
    public void Quantize(float[] target) => RowParts.Run(Rows, (_, first, last) =>
    {
        for (int row = first; row < last; row++)
        {
            var (channel, pinned) = Channel(row);
            RoundingKernels.Forward(Row(_original, row), Row(_offsets, row), Row(target, row), channel, pinned, Grid);
        }
    });

    /// <summary>One step of signed gradient descent; the gradient is zero afterwards.</summary>
    /// <param name="gradient">[rows, columns] or longer, dL/dW^</param>
    /// <param name="rate">the step's length</param>
    public void Step(float[] gradient, float rate) => RowParts.Run(Rows, (_, first, last) =>
    {
        for (int row = first; row < last; row++)
        {
            var (channel, pinned) = Channel(row);
            float slope = RoundingKernels.Step(Row(_original, row), Row(_offsets, row), Row(gradient, row), rate, channel, pinned, Grid);
            _channels.Step(row, channel, slope, rate);
        }
    });

    /// <summary>Remembers the present codes and scales as the best.</summary>
    public void KeepBest() => RowParts.Run(Rows, (_, first, last) =>
    {
        for (int row = first; row < last; row++)
        {
            var (channel, pinned) = Channel(row);
            _best.Scales[row] = channel.Scale;
            RoundingKernels.Codes(Row(_original, row), Row(_offsets, row), _best.Codes.AsSpan(row * Columns, Columns), channel, pinned, Grid);
        }
    });

    /// <summary>The best codes; not to be changed by further steps, so take it when tuning has ended.</summary>
    public QuantizedWeight Best => _best;

    private Span<float> Row(float[] values, int row) => values.AsSpan(row * Columns, Columns);
}
