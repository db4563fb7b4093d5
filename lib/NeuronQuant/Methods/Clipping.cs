using System.Runtime.Intrinsics;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;

namespace NeuronQuant.Methods;

/// <summary>How a clipping search is done.</summary>
/// <param name="Steps">shrink factors below 1 that are tried</param>
/// <param name="Smallest">the smallest of them, above 0 and below 1</param>
/// <param name="Norm">the power of the error that is summed; 2 is the mean squared error</param>
/// <param name="CrestLimit">rows or groups whose max|w| / rms is above this are left alone; null clips all</param>
public sealed record ClippingOptions(int Steps = 80, double Smallest = 0.2, double Norm = 2.4, double? CrestLimit = null)
{
    /// <summary>GPTQ's: p = 0.99, 0.98 ... 0.20 and the power 2.4 (quant.py:20-31, 78-95 of IST-DASLab/gptq, whose last factor is 0.21).</summary>
    public static ClippingOptions Default { get; } = new();

    /// <summary>The factors, 1 first: where nothing is better than not clipping, nothing is clipped.</summary>
    public IEnumerable<double> Factors => Enumerable.Range(0, Steps + 1).Select(step => 1 - step * (1 - Smallest) / Steps);
}

/// <summary>What a clipping search chose.</summary>
/// <param name="Weight">codes and scales</param>
/// <param name="Factors">the factor of each scale, [rows, groups] row-major; 1 where nothing was clipped</param>
/// <param name="Error">sum of |w - w^|^norm with these factors, in weight units to that power</param>
/// <param name="RoundedError">the same without clipping</param>
public sealed record ClippedWeight(QuantizedWeight Weight, float[] Factors, double Error, double RoundedError);

/// <summary>
/// MSE clipping. Rounding to nearest spends its codes on the whole range of a row, though few weights live at its end. A smaller scale serves the
/// many better and clips the few; the search tries factors p, takes scale = p * max|w| / divisor for each, and keeps the one whose error
/// sum |w - w^|^2.4 is smallest. No data is needed. A power above 2 keeps the clipped from being forgotten.
/// </summary>
/// <remarks>
/// What it buys depends on the width. At 8 bits 3 % of the squared error, whatever the row; at 4 bits half of it on a normal row (p about 0.65),
/// and more on heavy tails; below, more yet. It costs what it clips: a data-free criterion will clip a "super weight", the one scalar that a model
/// cannot live without, since it knows weights and not what they do. <see cref="ClippingOptions.CrestLimit"/> leaves such rows alone.
/// On the demo model the divergence from the floating-point model falls or stays (3 bits: 0.0079 to 0.0045 nats; in groups of 64: 0.0052 to
/// 0.0043), and yet the loss on right answers is above rounding's at 4 bits (0.0066 against 0.0063) and in groups of 64 (0.0112 against
/// 0.0102): the criterion knows weights and not answers, and a few wrong answers are most of that loss.
/// On the grids that NxDI shares with us (nxd of 8 bits, fp8) the clipped extreme is first rounded to bf16 (rule R1: M = bf16(p * max|w|)) and the
/// element with the largest magnitude gets the largest level, so that a bf16 file of the result comes back from NxDI with the same codes. On
/// every other grid nothing reads the file a second time, and M is not rounded.
/// With zero points both ends shrink by p, as GPTQ's do. The factor is searched for each scale: for each row, or each group of one.
/// Left out: AWQ's search weighs the error by activations and so needs data (auto_clip.py:11-63 of mit-han-lab/llm-awq).
/// </remarks>
public static class Clipping
{
    /// <summary>Searches a shrink factor for each scale, and quantizes with it.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="grid">any grid of integers or fp8, with or without groups and zero points</param>
    /// <param name="options">null for GPTQ's</param>
    /// <param name="cancellation">checked between blocks of rows</param>
    /// <exception cref="QuantizationException">a weight is NaN or infinite</exception>
    /// <exception cref="ArgumentException">the options are no search</exception>
    public static ClippedWeight Search(WeightMatrix weight, Grid grid, ClippingOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= ClippingOptions.Default;
        if (options.Steps < 1 || options.Smallest is not (> 0 and < 1) || options.Norm <= 0)
            throw new ArgumentException(
                $"{options}: give at least one step, a smallest factor between 0 and 1, and a power above 0.", nameof(options));
        int groups = grid.GroupsIn(weight.Columns), size = grid.GroupSize ?? weight.Columns;
        var result = new QuantizedWeight(weight.Name, grid, Granularity.PerChannelSymmetric, weight.Rows, weight.Columns,
            new byte[weight.Count], new float[weight.Rows * groups]);
        result = result with { ZeroPoints = grid.HasZeroPoint ? new float[weight.Rows * groups] : [] };
        var factors = new float[weight.Rows * groups];
        var (errors, rounded) = (new double[weight.Rows], new double[weight.Rows]);
        double[] candidates = [.. options.Factors];
        RowLoop.Run(weight.Rows, weight.Columns, weight.Columns, (row, scratch) =>
        {
            weight.ReadRow(row, scratch);
            for (int group = 0, start = 0; group < groups; group++, start += size)
            {
                ReadOnlySpan<float> part = scratch.Slice(start, Math.Min(size, weight.Columns - start));
                var ends = Ends.Of(weight, row, part, grid);
                var (best, least, first) = Best(part, grid, ends, candidates, options);
                var codes = result.Codes.AsSpan(row * weight.Columns + start, part.Length);
                var scaling = ends.Shrunk(best, grid);
                Write(part, scaling, grid, codes);
                int at = row * groups + group;
                (result.Scales[at], factors[at]) = (scaling.Scale, (float)best);
                if (grid.HasZeroPoint) result.ZeroPoints[at] = scaling.ZeroPoint;
                (errors[row], rounded[row]) = (errors[row] + least, rounded[row] + first);
            }
        }, cancellation);
        return new ClippedWeight(result, factors, errors.Sum(), rounded.Sum());
    }

    /// <summary>Quantizes with given factors, one for each scale: what a search with another error ends in.</summary>
    internal static QuantizedWeight At(WeightMatrix weight, Grid grid, float[] factors)
    {
        int groups = grid.GroupsIn(weight.Columns), size = grid.GroupSize ?? weight.Columns;
        var result = new QuantizedWeight(weight.Name, grid, Granularity.PerChannelSymmetric, weight.Rows, weight.Columns,
            new byte[weight.Count], new float[weight.Rows * groups]);
        result = result with { ZeroPoints = grid.HasZeroPoint ? new float[weight.Rows * groups] : [] };
        RowLoop.Run(weight.Rows, weight.Columns, weight.Columns, (row, scratch) =>
        {
            weight.ReadRow(row, scratch);
            for (int group = 0, start = 0; group < groups; group++, start += size)
            {
                ReadOnlySpan<float> part = scratch.Slice(start, Math.Min(size, weight.Columns - start));
                int at = row * groups + group;
                var scaling = Ends.Of(weight, row, part, grid).Shrunk(factors[at], grid);
                Write(part, scaling, grid, result.Codes.AsSpan(row * weight.Columns + start, part.Length));
                result.Scales[at] = scaling.Scale;
                if (grid.HasZeroPoint) result.ZeroPoints[at] = scaling.ZeroPoint;
            }
        }, default);
        return result;
    }

    private static (double Factor, double Error, double Rounded) Best(
        ReadOnlySpan<float> part, Grid grid, Ends ends, double[] candidates, ClippingOptions options)
    {
        double rounded = Error(part, ends.Shrunk(1, grid), grid, options.Norm, double.PositiveInfinity), least = rounded, best = 1;
        if (options.CrestLimit is { } limit && ends.Crest(part) > limit) return (best, least, rounded);
        foreach (double factor in candidates.AsSpan(1))
        {
            double error = Error(part, ends.Shrunk(factor, grid), grid, options.Norm, least);
            if (error < least) (best, least) = (factor, error);
        }
        return (best, least, rounded);
    }

    // Beyond the limit the sum is of no interest, and most factors reach it in a fraction of the row.
    private static double Error(ReadOnlySpan<float> part, Scaling scaling, Grid grid, double norm, double limit)
    {
        const int Several = 64; // What the kernel takes at a time, and a multiple of the vectors below.
        Span<double> errors = stackalloc double[Several];
        Span<sbyte> codes = stackalloc sbyte[Several];
        bool multiplies = grid.Format == Format.Int8 && (!grid.Signed || scaling.ZeroPoint != 0);
        float inverse = 1f / scaling.Scale;
        double sum = 0;
        for (int start = 0; start < part.Length && sum <= limit; start += Several)
        {
            var some = part.Slice(start, Math.Min(Several, part.Length - start));
            errors.Clear();
            if (multiplies) RowKernels.Quantize<float, FloatElement>(some, inverse, grid.Minimum, grid.Maximum, codes, (int)scaling.ZeroPoint);
            for (int i = 0; i < some.Length; i++)
            {
                float level = multiplies ? codes[i] : RowReference.Level(RowReference.Code(some[i], scaling.Scale, grid, scaling.ZeroPoint), grid);
                errors[i] = Math.Abs(some[i] - (double)scaling.Scale * (level - scaling.ZeroPoint));
            }
            sum += SumOfPowers(errors, norm);
        }
        return sum;
    }

    private static double SumOfPowers(ReadOnlySpan<double> errors, double norm)
    {
        var sums = Vector512<double>.Zero;
        for (int i = 0; i < errors.Length; i += Vector512<double>.Count)
        {
            var error = Vector512.Create(errors.Slice(i, Vector512<double>.Count));
            sums += norm == 2 ? error * error : Vector512.Exp(Vector512.Log(error) * norm); // exp of minus infinity is 0
        }
        return Vector512.Sum(sums);
    }

    private static void Write(ReadOnlySpan<float> part, Scaling scaling, Grid grid, Span<byte> codes)
    {
        int largest = 0;
        for (int i = 0; i < part.Length; i++)
        {
            codes[i] = RowReference.Code(part[i], scaling.Scale, grid, scaling.ZeroPoint);
            if (MathF.Abs(part[i]) > MathF.Abs(part[largest])) largest = i;
        }
        // Rule R1: NxDI finds the scale again in the extreme, which must therefore lie on the largest level.
        if (FakeQuantization.IsShared(grid) && scaling.Scale > grid.Floor)
            codes[largest] = RowReference.Code(MathF.CopySign(scaling.Extreme, part[largest]), scaling.Scale, grid);
    }

    private readonly record struct Scaling(float Scale, float ZeroPoint, float Extreme);

    // The two ends of the weights that share a scale.
    private readonly record struct Ends(float Minimum, float Maximum)
    {
        private float Extreme => MathF.Max(-Minimum, Maximum);

        public static Ends Of(WeightMatrix weight, int row, ReadOnlySpan<float> part, Grid grid)
        {
            float extreme = RowKernels.AbsoluteMaximum(part);
            if (!float.IsFinite(FakeQuantization.IsShared(grid) ? BFloat16.Round(extreme) : extreme))
                throw new QuantizationException(weight.Name,
                    $"row {row} holds a weight that is not finite, so no scale exists. Repair the checkpoint.");
            var (minimum, maximum) = RowKernels.Extremes<float, FloatElement>(part);
            return new Ends(MathF.Min(minimum, 0), MathF.Max(maximum, 0));
        }

        public Scaling Shrunk(double factor, Grid grid)
        {
            float low = (float)(factor * Minimum), high = (float)(factor * Maximum);
            if (!FakeQuantization.IsShared(grid))
            {
                float own = grid.Scale(low, high);
                return new Scaling(own, grid.ZeroPoint(low, own), 0);
            }
            float extreme = BFloat16.Round((float)(factor * Extreme));
            return new Scaling(grid.Scale(-extreme, extreme), 0, extreme);
        }

        public double Crest(ReadOnlySpan<float> part)
        {
            double energy = 0;
            foreach (float w in part) energy += (double)w * w;
            return energy == 0 ? 0 : Extreme / Math.Sqrt(energy / part.Length);
        }
    }
}
