using System.Runtime.InteropServices;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Tuning;

/// <summary>A weight while it is tuned: offsets V, range factors alpha and beta, and the best codes so far.</summary>
/// <remarks>
/// V starts at 0, alpha and beta at 1, so the first codes are those of rounding to nearest (rule R1 on the nxd grid). <see cref="Write"/> and
/// <see cref="Step"/> go through the weight some rows at a time, so that nothing but the state itself is as large as the weight. On a processor each
/// thread takes some, and <see cref="LearnedRow"/> goes through a row once; elsewhere it is autograd through <see cref="LearnedRounding.Round"/>, of which
/// that is the fast twin. A rounding or an update of the reader's own gets the whole weight, over which it may take means, and always the same tensors, by
/// which it may remember. What is kept of the best iteration is its codes, a byte a weight.
/// </remarks>
internal sealed class LearnedWeight : IDisposable
{
    private const int PartValues = 1 << 17, DevicePartValues = 1 << 24; // Half a megabyte stays in a core's caches; a device wants long operations.

    private readonly string _name;
    private readonly TuningRounding _rounding;
    private readonly TuningUpdate _update;
    private readonly RowEnds[] _ends;
    private readonly bool _whole, _byRows;

    /// <param name="name">of the weight, for errors</param>
    /// <param name="weight">[out, in]; taken as float32</param>
    /// <param name="grid">nxd or autoround</param>
    /// <param name="rules">of rounding and update; null for AutoRound's own</param>
    /// <param name="byAutograd">whether a processor takes the slow twin too, for tests</param>
    /// <exception cref="TuningException">the grid cannot be tuned on, or a weight is not finite</exception>
    public LearnedWeight(string name, Tensor weight, Grid grid, TuningRules? rules = null, bool byAutograd = false)
    {
        Channels.Check(name, grid);
        (_name, Grid, _rounding, _update) = (name, grid, rules?.Rounding ?? LearnedRounding.Round, rules?.Update ?? LearnedRounding.SignedStep);
        Tensor[] made = Torch.Run(() =>
        {
            var whole = weight.detach().to(ScalarType.Float32).contiguous();
            CheckFinite(name, whole);
            var ones_ = ones(whole.shape[0], 1, device: whole.device);
            return new[] { whole, zeros_like(whole), ones_, ones_.clone(), zeros(whole.shape, ScalarType.Int8, whole.device), ones_.clone() };
        });
        (Weight, Offsets, Alpha, Beta, Best) = (made[0], made[1], made[2], made[3], (made[4], made[5]));
        _whole = rules is not (null or { Rounding: null, Update: null });
        _byRows = !_whole && !byAutograd && Weight.device_type == TorchSharp.DeviceType.CPU;
        _ends = _byRows ? EndsOf(Weight) : [];
    }

    /// <summary>Refuses a weight, [out, in], that is not finite.</summary>
    /// <exception cref="TuningException">it is not</exception>
    public static void CheckFinite(string name, Tensor weight)
    {
        int row = Array.IndexOf(Torch.Run(() => weight.isfinite().all(1).to(ScalarType.Float32).ToFloats()), 0f);
        if (row >= 0) throw new TuningException(name, $"row {row} holds a NaN or an infinity, so no scale exists. Repair or re-download the checkpoint.");
    }

    public Grid Grid { get; }

    /// <summary>The original, [out, in] float32.</summary>
    public Tensor Weight { get; }

    /// <summary>V in codes, [out, in].</summary>
    public Tensor Offsets { get; }

    /// <summary>Factors of the negative side, [out, 1].</summary>
    public Tensor Alpha { get; }

    /// <summary>Factors of the positive side, [out, 1].</summary>
    public Tensor Beta { get; }

    /// <summary>The best codes as [out, in] int8 and their scales, [out, 1].</summary>
    public (Tensor Codes, Tensor Scales) Best { get; }

    /// <summary>Writes scale * code of every weight.</summary>
    /// <param name="target">[out, in], in any type</param>
    public void Write(Tensor target) => Parts((first, count) =>
    {
        if (_byRows) ByRows(first, count, null, 0, false, target);
        else WriteByTorch(first, count, target);
    });

    /// <summary>One step of signed gradient descent, and then what <see cref="Write"/> does.</summary>
    /// <param name="gradient">dL/dW^, [out, in]</param>
    /// <param name="rate">the step's length</param>
    /// <param name="keep">whether the codes before the step are the best so far</param>
    /// <param name="target">[out, in], in any type</param>
    /// <exception cref="TuningException">a rounding of the reader's own gave codes that are not on the grid, or nothing that depends on what is learned</exception>
    public void Step(Tensor gradient, double rate, bool keep, Tensor target) => Parts((first, count) =>
    {
        var slopes = gradient.narrow(0, first, count).to(ScalarType.Float32).contiguous();
        if (_byRows) ByRows(first, count, slopes, (float)rate, keep, target);
        else
        {
            StepByAutograd(first, count, slopes, rate, keep);
            WriteByTorch(first, count, target);
        }
    });

    public void Dispose()
    {
        foreach (var one in new[] { Weight, Offsets, Alpha, Beta, Best.Codes, Best.Scales }) one.Dispose();
    }

    private void ByRows(long first, long count, Tensor? slopes, float rate, bool keep, Tensor target)
    {
        var values = empty(count, Weight.shape[1]);
        Span<float> w = Floats(Weight, first, count), v = Floats(Offsets, first, count), g = slopes is null ? [] : Floats(slopes, 0, count), made = Floats(values, 0, count);
        Span<float> alpha = Floats(Alpha, first, count), beta = Floats(Beta, first, count), scales = Floats(Best.Scales, first, count);
        Span<sbyte> codes = keep ? MemoryMarshal.Cast<byte, sbyte>(Best.Codes.narrow(0, first, count).bytes) : [];
        for (int i = 0, columns = w.Length / (int)count; i < count; i++)
        {
            var (row, one) = (new LearnedRow(Grid, _ends[first + i], alpha[i], beta[i]), (i * columns)..((i + 1) * columns));
            if (keep) scales[i] = row.Scale;
            if (slopes is not null)
            {
                row.Step(w[one], v[one], g[one], rate, ref alpha[i], ref beta[i], keep ? codes[one] : []);
                row = new LearnedRow(Grid, _ends[first + i], alpha[i], beta[i]);
            }
            row.Values(w[one], v[one], made[one]);
        }
        target.narrow(0, first, count).copy_(values);
    }

    private void StepByAutograd(long first, long count, Tensor slopes, double rate, bool keep)
    {
        Tensor[] leaves = [.. new[] { Offsets, Alpha, Beta }.Select(one => Some(one, first, count).requires_grad_(true))];
        using var graph = enable_grad();
        var (codes, scales) = Rounded(Some(Weight, first, count), leaves[0], leaves[1], leaves[2]);
        var quantized = codes * scales;
        if (!quantized.requires_grad) throw new TuningException(_name, "the rounding gave nothing that depends on offsets, alpha or beta, so nothing can be learned. Let it use one.");
        quantized.backward([slopes]);
        using var off = no_grad();
        if (keep) Keep(first, codes, scales);
        foreach (var leaf in leaves)
        {
            if (leaf.grad is { } gradient) _update(leaf, gradient, rate);
            (leaf.grad, leaf.requires_grad) = (null, false);
        }
        foreach (var factor in leaves[1..]) factor.clamp_(Torch.Number(0), Torch.Number(1));
    }

    private void Keep(long first, Tensor codes, Tensor scales)
    {
        if (!codes.eq(codes.round().clamp(Torch.Number(Grid.Minimum), Torch.Number(Grid.Maximum))).all().item<bool>() || !scales.isfinite().all().item<bool>())
            throw new TuningException(_name, $"the rounding gave codes that are no integers from {Grid.Minimum} to {Grid.Maximum}, or scales that are not finite. Clamp what it returns.");
        Best.Codes.narrow(0, first, codes.shape[0]).copy_(codes);
        Best.Scales.narrow(0, first, codes.shape[0]).copy_(scales);
    }

    private void WriteByTorch(long first, long count, Tensor target)
    {
        var (codes, scales) = Rounded(Some(Weight, first, count), Some(Offsets, first, count), Some(Alpha, first, count), Some(Beta, first, count));
        target.narrow(0, first, count).copy_(codes * scales);
    }

    private (Tensor Codes, Tensor Scales) Rounded(Tensor weight, Tensor offsets, Tensor alpha, Tensor beta)
    {
        var (codes, scales) = _rounding(weight, offsets, alpha, beta, Grid);
        if (!codes.shape.SequenceEqual(weight.shape) || !scales.shape.SequenceEqual(alpha.shape))
            throw new TuningException(_name, $"the rounding gave codes [{string.Join(", ", codes.shape)}] and scales [{string.Join(", ", scales.shape)}], "
                + $"expected [{string.Join(", ", weight.shape)}] and [{string.Join(", ", alpha.shape)}]: keep the dimensions.");
        return (codes, scales);
    }

    private Tensor Some(Tensor state, long first, long count) => _whole ? state : state.narrow(0, first, count).detach();

    private static RowEnds[] EndsOf(Tensor weight) => Torch.Run(() =>
    {
        var channels = Channels.Of(weight);
        long[] smallestAt = channels.SmallestAt.data<long>().ToArray(), largestAt = channels.LargestAt.data<long>().ToArray();
        return channels.Smallest.ToFloats().Zip(channels.Largest.ToFloats()).Select((pair, row) => new RowEnds(pair.First, (int)smallestAt[row], pair.Second, (int)largestAt[row])).ToArray();
    });

    private static Span<float> Floats(Tensor all, long first, long count) => MemoryMarshal.Cast<byte, float>(all.narrow(0, first, count).bytes);

    // Some rows at a time, on a processor by all threads: those that share a short operation would wait for each other.
    private void Parts(Action<long, long> work)
    {
        bool processor = Weight.device_type == TorchSharp.DeviceType.CPU;
        long rows = Weight.shape[0], step = _whole ? rows : Math.Max(1, (processor ? PartValues : DevicePartValues) / Weight.shape[1]);
        long[] starts = [.. Enumerable.Range(0, (int)((rows + step - 1) / step)).Select(part => part * step)];
        Torch.ForEach(processor, starts, first => Torch.Run(() => work(first, Math.Min(step, rows - first))), CancellationToken.None);
    }
}
