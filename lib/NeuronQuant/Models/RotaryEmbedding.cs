using NeuronQuant.Checkpoints;

namespace NeuronQuant.Models;

/// <summary>Rotary position embedding: pairs of features of a head are turned by an angle that grows with the position.</summary>
/// <remarks>
/// With half = head size / 2, feature i of the first half is paired with feature i of the second (Hugging Face's order, "rotate half"):
///   (a, b) becomes (a cos - b sin, b cos + a sin),  angle = position * theta^(-2i / head size)
/// Llama 3 stretches slow frequencies: with wavelength l = 2 pi / f and original length L, f stays where l is below L / high factor,
/// becomes f / factor where l is above L / low factor, and is blended in between. A rotation's gradient is the rotation backwards.
/// Source: Su et al., "RoFormer", 2021; transformers modeling_rope_utils.py, _compute_llama3_parameters.
/// </remarks>
public sealed class RotaryEmbedding
{
    private readonly double[] _frequencies;
    private float[] _cosines = [], _sines = []; // [positions, half]

    /// <summary>The frequencies of a model.</summary>
    public RotaryEmbedding(ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        HeadSize = config.HeadSize;
        _frequencies = [.. Enumerable.Range(0, HeadSize / 2).Select(i => Scaled(Math.Pow(config.RopeTheta, -2.0 * i / HeadSize), config.RopeScaling))];
    }

    /// <summary>Width of a head.</summary>
    public int HeadSize { get; }

    /// <summary>Radians per position, for each pair: [head size / 2].</summary>
    public IReadOnlyList<double> Frequencies => _frequencies;

    /// <summary>Makes the tables long enough; not for several threads at once.</summary>
    /// <param name="positions">positions that will be asked for: 0 to this, exclusive</param>
    public void Prepare(int positions)
    {
        int half = HeadSize / 2;
        if (_cosines.Length >= positions * half) return;
        (_cosines, _sines) = (new float[positions * half], new float[positions * half]);
        for (int position = 0; position < positions; position++)
            for (int i = 0; i < half; i++)
                (_sines[position * half + i], _cosines[position * half + i]) = ((float, float))Math.SinCos(position * _frequencies[i]);
    }

    /// <summary>Turns queries or keys of whole sequences, in place.</summary>
    /// <param name="x">[sequences * length, heads * head size]; row r stands at position r mod length</param>
    /// <param name="rows">sequences * length</param>
    /// <param name="heads">heads in a row</param>
    /// <param name="length">tokens of a sequence</param>
    /// <param name="backward">turns back: the gradient</param>
    public void Apply(float[] x, int rows, int heads, int length, bool backward = false)
    {
        Prepare(length);
        int width = heads * HeadSize;
        RowParts.Run(rows, (_, first, last) =>
        {
            for (int r = first; r < last; r++) Row(x.AsSpan(r * width, width), r % length, backward);
        });
    }

    /// <summary>Turns all heads of one token, in place; Prepare must have been called.</summary>
    /// <param name="row">[heads * head size]</param>
    /// <param name="position">the token's position</param>
    /// <param name="backward">turns back</param>
    public void Row(Span<float> row, int position, bool backward = false)
    {
        int half = HeadSize / 2;
        ReadOnlySpan<float> cosines = _cosines.AsSpan(position * half, half), sines = _sines.AsSpan(position * half, half);
        float sign = backward ? -1 : 1;
        for (int head = 0; head < row.Length; head += HeadSize)
        {
            Span<float> low = row.Slice(head, half), high = row.Slice(head + half, half);
            for (int i = 0; i < half; i++)
            {
                float a = low[i], b = high[i], s = sign * sines[i];
                low[i] = a * cosines[i] - b * s;
                high[i] = b * cosines[i] + a * s;
            }
        }
    }

    private static double Scaled(double frequency, RopeScaling? scaling)
    {
        if (scaling is null) return frequency;
        double turns = scaling.OriginalMaxPositionEmbeddings * frequency / (2 * Math.PI); // Full turns within the original length.
        double kept = (turns - scaling.LowFrequencyFactor) / (scaling.HighFrequencyFactor - scaling.LowFrequencyFactor);
        kept = Math.Clamp(kept, 0, 1);
        return kept * frequency + (1 - kept) * frequency / scaling.Factor;
    }
}
