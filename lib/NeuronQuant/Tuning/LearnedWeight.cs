using NeuronQuant.Models;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>One weight while it is tuned: rounding offsets V, range factors alpha and beta of each channel, and the best codes so far.</summary>
/// <remarks>
/// V starts at 0, alpha and beta at 1, so the first codes are those of rounding to nearest (rule R1 on the nxd grid). Factors are clamped
/// to [0, 1] in place: a range can shrink and never grow. What is kept of the best iteration is its codes and scales, a byte a weight,
/// which is the result itself.
/// </remarks>
internal sealed class LearnedWeight
{
    private readonly float[] _original, _offsets, _alpha, _beta, _smallest, _largest;
    private readonly int[] _smallestAt, _largestAt;
    private readonly QuantizedWeight _best;

    public LearnedWeight(string name, float[] original, int rows, int columns, Grid grid)
    {
        if (!grid.IsInteger || grid.Name is not ("nxd" or "autoround"))
            throw new TuningException(name, $"cannot be tuned on the grid '{grid}'. Use nxd, whose integers NxDI keeps, or autoround.");
        (_original, Rows, Columns, Grid) = (original, rows, columns, grid);
        _offsets = new float[original.Length];
        (_alpha, _beta, _smallest, _largest) = (new float[rows], new float[rows], new float[rows], new float[rows]);
        (_smallestAt, _largestAt) = (new int[rows], new int[rows]);
        Array.Fill(_alpha, 1);
        Array.Fill(_beta, 1);
        _best = new QuantizedWeight(name, grid, Granularity.PerChannelSymmetric, rows, columns, new byte[original.Length], new float[rows]);
        for (int row = 0; row < rows; row++) FindExtremes(row);
    }

    public int Rows { get; }

    public int Columns { get; }

    public Grid Grid { get; }

    /// <summary>Rounding offsets in codes, [rows, columns].</summary>
    public float[] Offsets => _offsets;

    /// <summary>Factors of the negative and of the positive side, [rows] each.</summary>
    public (float[] Alpha, float[] Beta) Factors => (_alpha, _beta);

    /// <summary>The scale of a channel as the factors are now, and the index of its pinned weight, or -1.</summary>
    public (ChannelScale Channel, int Pinned) Channel(int row)
    {
        var channel = ChannelScale.Of(Grid, _smallest[row], _largest[row], _alpha[row], _beta[row]);
        return (channel, channel.PinnedCode == 0 ? -1 : channel.PinnedCode < 0 ? _smallestAt[row] : _largestAt[row]);
    }

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
            _alpha[row] = Math.Clamp(_alpha[row] - rate * Sign(slope * channel.AlphaSlope), 0, 1);
            _beta[row] = Math.Clamp(_beta[row] - rate * Sign(slope * channel.BetaSlope), 0, 1);
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

    private void FindExtremes(int row)
    {
        var weights = Row(_original, row);
        for (int i = 0; i < weights.Length; i++)
        {
            if (!float.IsFinite(weights[i]))
                throw new TuningException(_best.Name, $"row {row} holds a NaN or an infinity, so no scale exists. Repair or re-download the checkpoint.");
            if (weights[i] < _smallest[row]) (_smallest[row], _smallestAt[row]) = (weights[i], i);
            if (weights[i] > _largest[row]) (_largest[row], _largestAt[row]) = (weights[i], i);
        }
    }

    private static float Sign(float value) => value > 0 ? 1 : value < 0 ? -1 : 0;
}
