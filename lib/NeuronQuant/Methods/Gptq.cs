using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;
using static TorchSharp.torch;

namespace NeuronQuant.Methods;

/// <summary>
/// GPTQ: rounds a weight column by column, and after each column moves the columns still to come so that they make up for its rounding
/// error, as far as the inputs allow.
/// </summary>
/// <remarks>
/// Frantar et al., "GPTQ: accurate post-training quantization for generative pre-trained transformers", 2022; llm-compressor
/// gptq_quantize.py:149-246. H = X^T X over calibration plus 1 % of its mean diagonal; H^-1 = U^T U with U upper; for each column j in
/// order: q_j = round(w_j / s), e = (w_j - s q_j) / U_jj, w_k -= e U_jk for k > j. The scale of a channel is fixed before, from its own
/// extreme by rule R1, and the extreme weight is pinned to the largest code: error feedback would otherwise leave some channels without
/// one, and NxDI would stretch their grid. Left out: groups and asymmetric zero points, which NxDI cannot load.
/// The columns may be taken in another order, those with the largest inputs first ("act-order", gptq.py of IST-DASLab/gptq: by descending diagonal of H):
/// they are then rounded while many others can still make up for it. Codes are written back to their own columns, and with one scale a channel nothing
/// else changes, so the order costs nothing when the model runs.
/// Inputs are those of the floating-point model for all layers; the original recomputes them behind quantized layers.
/// H is factored in float64, the feedback runs in float32. An input channel that is always zero keeps its rounded weights.
/// </remarks>
public static class Gptq
{
    /// <summary>What reports and records call the method.</summary>
    public const string Method = "gptq";

    /// <summary>The same with the columns in order of their inputs.</summary>
    public const string OrderedMethod = "gptq-actorder";

    private const long PartColumns = 128; // Rounded before their errors go on to the rest in one product, as in the paper.

    private const double Damping = 0.01; // Share of the mean diagonal; the paper's and every tool's default.

    /// <summary>Quantizes all given modules of a model.</summary>
    /// <param name="model">the model in floating point; it is not changed</param>
    /// <param name="grids">grid of each module, see <see cref="TuningGrids"/></param>
    /// <param name="grams">from <see cref="GramMatrix.Capture"/></param>
    /// <param name="progress">told the modules done and their number</param>
    /// <param name="cancellation">checked before each module</param>
    /// <param name="largestFirst">whether columns go by descending mean square of their inputs</param>
    public static LayerTuningResult Tune(
        LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, IReadOnlyDictionary<ModuleName, GramMatrix> grams, Action<long, long>? progress = null,
        CancellationToken cancellation = default, bool largestFirst = false) =>
        LayerTuningResult.Of(largestFirst ? OrderedMethod : Method, model, grids, grams,
            (weight, gram, grid) => Quantize(weight, gram, grid, cancellation, largestFirst), progress, cancellation);

    /// <summary>Quantizes one weight.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="gram">of its inputs, [in, in]</param>
    /// <param name="grid">nxd or autoround</param>
    /// <param name="cancellation">checked between parts of rows</param>
    /// <param name="largestFirst">whether columns go by descending mean square of their inputs</param>
    /// <exception cref="TuningException">the sizes differ, or the inputs are not finite</exception>
    public static QuantizedWeight Quantize(
        WeightMatrix weight, GramMatrix gram, Grid grid, CancellationToken cancellation = default, bool largestFirst = false)
    {
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(gram);
        if (weight.Columns != gram.Size)
            throw new TuningException(weight.Name, $"has {weight.Columns} inputs, its Gram matrix {gram.Size}. Capture the matrix of this module.");
        if (!(gram.MeanSquares.Average() is > 0 and < double.PositiveInfinity))
            throw new TuningException(weight.Name, $"the mean square of its inputs is {gram.MeanSquares.Average()}: capture the Gram matrix on real texts, of a model without NaN.");
        using var start = new LearnedWeight(weight.Name, TensorConversion.Share(weight.ToArray(), weight.Rows, weight.Columns), grid);
        return Torch.Run(() =>
        {
            var channels = Channels.Of(start.Weight).Under(start.Alpha, start.Beta, grid); // Before feedback changes the weights.
            var (scales, pinned) = (channels.Scales.squeeze(1), Pinned(channels, grid));
            var order = Order(gram, largestFirst);
            var rounded = Rounded(start.Weight.t().index_select(0, tensor(order)), Factor(weight.Name, gram, tensor(order)), scales, pinned, order, grid, cancellation);
            var codes = empty_like(rounded).index_copy_(0, tensor(order), rounded).t().to(ScalarType.Int8).contiguous();
            return new QuantizedWeight(weight.Name, grid, Granularity.PerChannelSymmetric, weight.Rows, weight.Columns,
                MemoryMarshal.AsBytes(codes.bytes).ToArray(), scales.ToFloats());
        });
    }

    // The columns in the order in which they are rounded; equal ones stay as they lie.
    private static long[] Order(GramMatrix gram, bool largestFirst)
    {
        double[] squares = gram.MeanSquares;
        var columns = Enumerable.Range(0, gram.Size);
        return [.. (largestFirst ? columns.OrderByDescending(j => squares[j]) : columns).Select(j => (long)j)];
    }

    // Codes in that order, [in, out]. Errors reach the columns of their own part at once, and those behind it in one product.
    private static Tensor Rounded(Tensor values, Tensor factor, Tensor scales, Pins pinned, long[] order, Grid grid, CancellationToken cancellation)
    {
        var codes = empty_like(values);
        long columns = values.shape[0];
        for (long first = 0; first < columns; first += PartColumns)
        {
            cancellation.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            long last = Math.Min(first + PartColumns, columns);
            var errors = empty(last - first, values.shape[1]);
            for (long j = first; j < last; j++)
            {
                using var step = NewDisposeScope();
                var (value, code, error) = (values[j], codes[j], errors[j - first]);
                code.copy_(LearnedRounding.Ratio(value, scales, grid).round_().clamp_(Torch.Number(grid.Minimum), Torch.Number(grid.Maximum)));
                if (pinned.Rows(order[j]) is { } rows) code.index_copy_(0, rows, pinned.Codes.index_select(0, rows));
                error.copy_((value - scales * code).div_(factor[j, j]));
                if (j + 1 < last) values.narrow(0, j + 1, last - j - 1).sub_(factor[j].narrow(0, j + 1, last - j - 1).unsqueeze(1) * error);
            }
            if (last < columns) values.narrow(0, last, columns - last).sub_(factor.narrow(0, first, last - first).narrow(1, last, columns - last).t().mm(errors));
        }
        return codes;
    }

    // U of H^-1 = U^T U, rows and columns of H in the given order.
    private static Tensor Factor(string name, GramMatrix gram, Tensor order)
    {
        var damped = gram.ToTensor().to(ScalarType.Float64).index_select(0, order).index_select(1, order);
        damped.diagonal().Plus_(damped.diagonal().mean() * Torch.Number(Damping));
        try
        {
            return linalg.cholesky(cholesky_inverse(linalg.cholesky(damped))).t().to(ScalarType.Float32).contiguous();
        }
        catch (ExternalException)
        {
            throw new TuningException(name, "its Gram matrix is not positive even with damping. Are there NaN among the inputs?");
        }
    }

    private static Pins Pinned(ChannelScales channels, Grid grid)
    {
        var free = channels.Free.squeeze(1);
        var codes = channels.PinnedTo.squeeze(1);
        var at = new Dictionary<long, long[]>();
        if (grid.Signed) return new Pins(codes, at);
        long[] columns = channels.PinnedAt.squeeze(1).data<long>().ToArray();
        bool[] moves = free.data<bool>().ToArray();
        return new Pins(codes, Enumerable.Range(0, columns.Length).Where(row => moves[row]).GroupBy(row => columns[row])
            .ToDictionary(group => group.Key, group => group.Select(row => (long)row).ToArray()));
    }

    // Which rows have their extreme weight in a column, and the code that it must get.
    private sealed record Pins(Tensor Codes, IReadOnlyDictionary<long, long[]> At)
    {
        public Tensor? Rows(long column) => At.TryGetValue(column, out long[]? rows) ? tensor(rows) : null;
    }
}
