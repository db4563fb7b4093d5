using NeuronQuant.Quantization;

namespace NeuronQuant.Methods;

/// <summary>How HQQ iterates.</summary>
/// <param name="Power">p of the error sum |e|^p; below 1 it forgives few large errors for many small ones</param>
/// <param name="Beta">weight of the split at the first iteration</param>
/// <param name="Growth">what it is multiplied by after each</param>
/// <param name="Iterations">at most so many</param>
/// <param name="RoundZeroPoints">whether zero points are rounded to integers at the end, as a kernel for 4 bits wants</param>
public sealed record HqqOptions(double Power = 0.7, double Beta = 10, double Growth = 1.01, int Iterations = 20, bool RoundZeroPoints = false)
{
    /// <summary>Those of the authors (hqq/core/optimize.py:199-259 of mobiusml/hqq).</summary>
    public static HqqOptions Default { get; } = new();
}

/// <summary>What HQQ found.</summary>
/// <param name="Weight">codes, scales, and zero points that are in general no integers</param>
/// <param name="Iterations">how many improved on the one before</param>
/// <param name="Error">mean |w - w^|, in weight units</param>
/// <param name="FirstError">the same at the start: scale and zero point from the extremes alone</param>
public sealed record HqqWeight(QuantizedWeight Weight, int Iterations, double Error, double FirstError);

/// <summary>
/// Half-quadratic quantization: no data, no gradient, a few passes over the weight. Scales stay those of the extremes; what is learned is the
/// zero point of each group, so that sum |w - w^|^p is small for p below 1. Such a sum has no closed form, but it has two halves that do:
/// with a helper e that stands for the error, minimise |e|^p + beta/2 |w - w^ - e|^2 for e at a fixed zero point, then for the zero point at a
/// fixed e, and let beta grow.
/// </summary>
/// <remarks>
/// With q = clamp(rne(w/s + z)) and w^ = s (q - z), an iteration is
///   e = w - w^;  e &lt;- sign(e) max(0, |e| - |e|^(p-1) / beta)      the shrinkage of the l_p norm: small errors vanish, large ones stay
///   z = mean over the group of q - (w - e) / s                      the least squares of the rest
///   beta &lt;- 1.01 beta
/// and it ends at the first that does not lower the mean |w - w^| over the whole weight. Sources: hqq/core/optimize.py:96-108, 199-259 (whose scale
/// is the inverse of ours, and whose codes count from 0: our z is theirs less 2^(b-1)). Usual are 4 bits and groups of 64; 20 iterations.
/// Two departures. Zero lies inside the range of every group, as on our asymmetric grid, where the authors take the bare extremes. And the
/// zero points of the best iteration are returned, where theirs are those of the last: theirs may be one step worse.
/// What remains of it on a device without zero points? Nothing: with z fixed at 0 there is nothing left to learn, and the best symmetric scale is
/// what <see cref="Clipping"/> looks for. So this is for teaching, and for measuring in bf16: NxDI cannot load it.
/// </remarks>
public static class Hqq
{
    /// <summary>Learns the zero points and quantizes.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="grid">an asymmetric grid, usually Grid.Asymmetric(4).InGroups(64)</param>
    /// <param name="options">null for the authors'</param>
    /// <param name="cancellation">checked between blocks of rows</param>
    /// <exception cref="QuantizationException">the grid has no zero points, or a weight is not finite</exception>
    /// <exception cref="ArgumentException">the options are no iteration</exception>
    public static HqqWeight Quantize(WeightMatrix weight, Grid grid, HqqOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= HqqOptions.Default;
        if (!grid.HasZeroPoint)
            throw new QuantizationException(weight.Name,
                $"HQQ learns zero points, and the grid '{grid}' has none. Use Grid.Asymmetric, or Clipping on this one.");
        if (options is not { Power: > 0 and < 2, Beta: > 0, Growth: >= 1, Iterations: >= 0 })
            throw new ArgumentException($"{options}: p is between 0 and 2, beta above 0 and growing.", nameof(options));
        var start = RoundToNearest.Quantize(weight, grid, cancellation: cancellation);
        float[] zeros = [.. start.ZeroPoints];
        double first = MeanError(weight, start, zeros, cancellation), least = first, beta = options.Beta;
        int done = 0;
        for (; done < options.Iterations; done++, beta *= options.Growth)
        {
            float[] next = Step(weight, start, zeros, options.Power, beta, cancellation);
            double error = MeanError(weight, start, next, cancellation);
            if (!(error < least)) break;
            (zeros, least) = (next, error);
        }
        if (options.RoundZeroPoints)
        {
            zeros = [.. zeros.Select(zero => MathF.Round(zero, MidpointRounding.ToEven))];
            least = MeanError(weight, start, zeros, cancellation);
        }
        var result = start with { Codes = new byte[weight.Count], ZeroPoints = zeros };
        ForGroups(weight, start, (at, part, offset) =>
        {
            for (int i = 0; i < part.Length; i++) result.Codes[offset + i] = (byte)(sbyte)Code(part[i], start.Scales[at], zeros[at], grid);
        }, cancellation);
        return new HqqWeight(result, done, least, first);
    }

    // A zero point that is no integer belongs inside the rounding: q = rne(w/s + z), not rne(w/s) + z.
    private static float Code(float w, float scale, float zero, Grid grid) =>
        Math.Clamp(MathF.Round(w * (1f / scale) + zero, MidpointRounding.ToEven), grid.Minimum, grid.Maximum);

    private static float[] Step(WeightMatrix weight, QuantizedWeight start, float[] zeros, double power, double beta, CancellationToken cancellation)
    {
        var next = new float[zeros.Length];
        ForGroups(weight, start, (at, part, _) =>
        {
            float scale = start.Scales[at], zero = zeros[at];
            double sum = 0;
            foreach (float w in part)
            {
                float code = Code(w, scale, zero, start.Grid);
                double error = w - (double)scale * (code - zero), size = Math.Abs(error);
                double kept = size == 0 ? 0 : Math.Max(0, size - Math.Pow(size, power - 1) / beta);
                sum += code - (w - Math.Sign(error) * kept) / scale;
            }
            next[at] = (float)(sum / part.Length);
        }, cancellation);
        return next;
    }

    private static double MeanError(WeightMatrix weight, QuantizedWeight start, float[] zeros, CancellationToken cancellation)
    {
        var sums = new double[zeros.Length];
        ForGroups(weight, start, (at, part, _) =>
        {
            float scale = start.Scales[at], zero = zeros[at];
            foreach (float w in part) sums[at] += Math.Abs(w - (double)scale * (Code(w, scale, zero, start.Grid) - zero));
        }, cancellation);
        return sums.Sum() / weight.Count;
    }

    private delegate void GroupAction(int at, ReadOnlySpan<float> part, int offset);

    private static void ForGroups(WeightMatrix weight, QuantizedWeight start, GroupAction action, CancellationToken cancellation) =>
        RowLoop.Run(weight.Rows, weight.Columns, weight.Columns, (row, scratch) =>
        {
            weight.ReadRow(row, scratch);
            for (int group = 0; group < start.Groups; group++)
            {
                int from = group * start.GroupSize;
                int length = Math.Min(start.GroupSize, weight.Columns - from);
                action(row * start.Groups + group, scratch.Slice(from, length), row * weight.Columns + from);
            }
        }, cancellation);
}
