using NeuronQuant.Checkpoints;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Models;

/// <summary>Rotary position embedding: pairs of features of a head are turned by an angle that grows with the position.</summary>
/// <remarks>
/// With half = head size / 2, feature i of the first half is paired with feature i of the second (Hugging Face's order, "rotate half"):
///   (a, b) becomes (a cos - b sin, b cos + a sin),  angle = position * theta^(-2i / head size)
/// Both halves are one expression, x * [cos, cos] + roll(x, half) * [-sin, sin]; the two tables are made once, from float64.
/// Llama 3 stretches slow frequencies: with wavelength l = 2 pi / f and original length L, f stays where l is below L / high factor,
/// becomes f / factor where l is above L / low factor, and is blended in between.
/// Source: Su et al., "RoFormer", 2021; transformers modeling_rope_utils.py, _compute_llama3_parameters.
/// </remarks>
public sealed class RotaryEmbedding
{
    private const int Step = 512; // Positions a table grows by.

    private readonly Placement _place;
    private readonly double[] _frequencies;
    private readonly Lock _gate = new();
    private (Tensor Cosines, Tensor Sines)? _tables; // [positions, head size]

    /// <summary>The frequencies of a model.</summary>
    public RotaryEmbedding(ModelConfig config, Placement place)
    {
        ArgumentNullException.ThrowIfNull(config);
        (_place, HeadSize) = (place, config.HeadSize);
        _frequencies = [.. Enumerable.Range(0, HeadSize / 2).Select(i => Scaled(Math.Pow(config.RopeTheta, -2.0 * i / HeadSize), config.RopeScaling))];
    }

    /// <summary>Width of a head.</summary>
    public int HeadSize { get; }

    /// <summary>Radians per position, for each pair: [head size / 2].</summary>
    public IReadOnlyList<double> Frequencies => _frequencies;

    /// <summary>Turns every head: x * [cos, cos] + roll(x, half) * [-sin, sin].</summary>
    /// <param name="x">[texts, length, heads, head size]</param>
    /// <param name="angles">cosines and sines, each [1 or texts, length, 1, head size]</param>
    public static Tensor Turn(Tensor x, (Tensor Cosines, Tensor Sines) angles) =>
        (x * angles.Cosines).addcmul_(x.roll(x.shape[^1] / 2, -1), angles.Sines, Torch.Number(1));

    /// <summary>The angles of positions in a row: [1, length, 1, head size].</summary>
    public (Tensor Cosines, Tensor Sines) Angles(long length, long first = 0)
    {
        var (cosines, sines) = Tables(first + length);
        return (cosines.narrow(0, first, length).view(1, length, 1, HeadSize), sines.narrow(0, first, length).view(1, length, 1, HeadSize));
    }

    /// <summary>The angles of one position a text: [texts, 1, 1, head size].</summary>
    /// <param name="positions">[texts] int64</param>
    /// <param name="longest">above all of them</param>
    public (Tensor Cosines, Tensor Sines) AnglesAt(Tensor positions, long longest)
    {
        var (cosines, sines) = Tables(longest);
        return (cosines.index_select(0, positions).view(-1, 1, 1, HeadSize), sines.index_select(0, positions).view(-1, 1, 1, HeadSize));
    }

    private (Tensor Cosines, Tensor Sines) Tables(long length)
    {
        lock (_gate)
        {
            if (_tables is { } known && known.Cosines.shape[0] >= length) return known;
            using var scope = NewDisposeScope();
            var angles = Torch.Count((length + Step - 1) / Step * Step, CPU).to(float64).unsqueeze(1) * tensor(_frequencies);
            var (cosines, sines) = (angles.cos(), angles.sin());
            Tensor Placed(Tensor left, Tensor right) => Torch.Keep(cat([left, right], 1).to(_place.Type).to(_place.Device));
            return (_tables = (Placed(cosines, cosines), Placed(-sines, sines))).Value; // The old tables may be in use: they go with their last user.
        }
    }

    private static double Scaled(double frequency, RopeScaling? scaling)
    {
        if (scaling is null) return frequency;
        double turns = scaling.OriginalMaxPositionEmbeddings * frequency / (2 * Math.PI); // Full turns within the original length.
        double kept = Math.Clamp((turns - scaling.LowFrequencyFactor) / (scaling.HighFrequencyFactor - scaling.LowFrequencyFactor), 0, 1);
        return kept * frequency + (1 - kept) * frequency / scaling.Factor;
    }
}
