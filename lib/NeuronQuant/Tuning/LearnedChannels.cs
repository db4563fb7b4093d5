using NeuronQuant.Quantization;

namespace NeuronQuant.Tuning;

/// <summary>The channels of a weight while it is tuned: extremes, range factors alpha and beta, and the scale that follows from them.</summary>
/// <remarks>
/// A few numbers a channel, so every tuner keeps them here on the CPU, wherever it keeps the weights: two tuners that see the same gradients
/// have the same scales, to the bit. Factors start at 1 and are clamped to [0, 1] in place: a range can shrink and never grow.
/// </remarks>
internal sealed class LearnedChannels
{
    private readonly float[] _smallest, _largest;
    private readonly int[] _smallestAt, _largestAt;

    /// <param name="name">of the weight, for errors</param>
    /// <param name="original">[rows, columns]</param>
    /// <param name="rows">channels</param>
    /// <param name="columns">weights of a channel</param>
    /// <param name="grid">nxd or autoround</param>
    /// <exception cref="TuningException">the grid cannot be tuned on, or a weight is not finite</exception>
    public LearnedChannels(string name, ReadOnlySpan<float> original, int rows, int columns, Grid grid)
    {
        if (!grid.IsInteger || grid.Name is not ("nxd" or "autoround"))
            throw new TuningException(name, $"cannot be tuned on the grid '{grid}'. Use nxd, whose integers NxDI keeps, or autoround.");
        Grid = grid;
        (Alpha, Beta, _smallest, _largest) = (new float[rows], new float[rows], new float[rows], new float[rows]);
        (_smallestAt, _largestAt) = (new int[rows], new int[rows]);
        Array.Fill(Alpha, 1);
        Array.Fill(Beta, 1);
        for (int row = 0; row < rows; row++) FindExtremes(name, original.Slice(row * columns, columns), row);
    }

    /// <summary>What is tuned on.</summary>
    public Grid Grid { get; }

    /// <summary>Factors of the negative side, [rows].</summary>
    public float[] Alpha { get; }

    /// <summary>Factors of the positive side, [rows].</summary>
    public float[] Beta { get; }

    /// <summary>The scale of a channel as the factors are now, and the index of its pinned weight, or -1.</summary>
    public (ChannelScale Channel, int Pinned) this[int row]
    {
        get
        {
            var channel = ChannelScale.Of(Grid, _smallest[row], _largest[row], Alpha[row], Beta[row]);
            return (channel, channel.PinnedCode == 0 ? -1 : channel.PinnedCode < 0 ? _smallestAt[row] : _largestAt[row]);
        }
    }

    /// <summary>One step of a channel's factors against the sign of their gradients.</summary>
    /// <param name="row">the channel</param>
    /// <param name="channel">its scale, from before the step</param>
    /// <param name="slope">dL/ds</param>
    /// <param name="rate">the step's length</param>
    public void Step(int row, ChannelScale channel, float slope, float rate)
    {
        Alpha[row] = Math.Clamp(Alpha[row] - rate * Sign(slope * channel.AlphaSlope), 0, 1);
        Beta[row] = Math.Clamp(Beta[row] - rate * Sign(slope * channel.BetaSlope), 0, 1);
    }

    private void FindExtremes(string name, ReadOnlySpan<float> weights, int row)
    {
        for (int i = 0; i < weights.Length; i++)
        {
            if (!float.IsFinite(weights[i]))
                throw new TuningException(name, $"row {row} holds a NaN or an infinity, so no scale exists. Repair or re-download the checkpoint.");
            if (weights[i] < _smallest[row]) (_smallest[row], _smallestAt[row]) = (weights[i], i);
            if (weights[i] > _largest[row]) (_largest[row], _largestAt[row]) = (weights[i], i);
        }
    }

    private static float Sign(float value) => value > 0 ? 1 : value < 0 ? -1 : 0;
}
