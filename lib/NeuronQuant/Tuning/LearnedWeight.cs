using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using TorchSharp;
using static TorchSharp.torch;

namespace NeuronQuant.Tuning;

/// <summary>A weight while it is tuned: offsets V, range factors alpha and beta, and the best codes so far.</summary>
/// <remarks>
/// V starts at 0, alpha and beta at 1, so the first codes are those of rounding to nearest (rule R1 on the nxd grid). <see cref="Write"/> and
/// <see cref="Step"/> are the fast path of <see cref="LearnedRounding"/>: no graph through the rounding, and only the sign of dL/dV is needed. With
/// G = dL/dW^ and "inside" for a code that neither the clamp moved nor the pin fixed:
///   dL/dV = G * scale where inside;   dL/dscale = sum over the channel of G * (q - (w / scale where inside)).
/// Both go through the weight in parts of rows that stay in the cache, on a processor a thread for each. What is kept of the best iteration is its codes, a byte a weight.
/// </remarks>
internal sealed class LearnedWeight : IDisposable
{
    private const int PartValues = 1 << 17; // Half a megabyte of float32: a few such temporaries stay in a core's caches.

    private readonly Tensor _weight, _bestCodes, _bestScales;
    private readonly Channels _channels;

    /// <param name="name">of the weight, for errors</param>
    /// <param name="weight">[out, in]; taken as float32</param>
    /// <param name="grid">nxd or autoround</param>
    /// <exception cref="TuningException">the grid cannot be tuned on, or a weight is not finite</exception>
    public LearnedWeight(string name, Tensor weight, Grid grid)
    {
        Channels.Check(name, grid);
        Grid = grid;
        Tensor[] made = Torch.Run(() =>
        {
            var whole = weight.detach().to(ScalarType.Float32);
            CheckFinite(name, whole);
            var (channels, ones_) = (Channels.Of(whole), ones(whole.shape[0], 1, device: whole.device));
            return new[]
            {
                whole, zeros_like(whole), ones_, ones_.clone(), channels.Smallest, channels.Largest, channels.SmallestAt, channels.LargestAt,
                zeros(whole.shape, ScalarType.Int8, whole.device), ones_.clone(),
            };
        });
        (_weight, Offsets, Alpha, Beta, _channels, _bestCodes, _bestScales) =
            (made[0], made[1], made[2], made[3], new Channels(made[4], made[5], made[6], made[7]), made[8], made[9]);
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
    public Tensor Weight => _weight;

    /// <summary>V in codes, [out, in].</summary>
    public Tensor Offsets { get; }

    /// <summary>Factors of the negative side, [out, 1].</summary>
    public Tensor Alpha { get; }

    /// <summary>Factors of the positive side, [out, 1].</summary>
    public Tensor Beta { get; }

    /// <summary>Writes scale * code of every weight.</summary>
    /// <param name="target">[out, in], in any type</param>
    public void Write(Tensor target) => Parts((first, count, channels) =>
        target.narrow(0, first, count).copy_(Codes(first, count, channels).mul_(channels.Scales)));

    /// <summary>Remembers given codes as the best.</summary>
    /// <exception cref="TuningException">they are not on the grid</exception>
    public void Keep(string name, Tensor codes, Tensor scales)
    {
        if (!codes.eq(codes.round().clamp(Lowest, Highest)).all().item<bool>() || !scales.isfinite().all().item<bool>())
            throw new TuningException(name, $"the rounding gave codes that are no integers from {Grid.Minimum} to {Grid.Maximum}, or scales that are not finite. Clamp what it returns.");
        Keep(0, codes, scales.view(_bestScales.shape));
    }

    /// <summary>One step of signed gradient descent.</summary>
    /// <param name="gradient">dL/dW^, [out, in]</param>
    /// <param name="rate">the step's length</param>
    /// <param name="keep">whether the codes before the step are the best so far</param>
    public void Step(Tensor gradient, double rate, bool keep)
    {
        var slopes = empty_like(Alpha);
        var all = Parts((first, count, channels) =>
        {
            var (g, ratio) = (gradient.narrow(0, first, count).to(ScalarType.Float32), LearnedRounding.Ratio(_weight.narrow(0, first, count), channels.Scales, Grid));
            var (offsets, rounded) = (Offsets.narrow(0, first, count), ratio.Plus(Offsets.narrow(0, first, count)).round_());
            var codes = rounded.clamp(Lowest, Highest);
            var inside = rounded.eq_(codes);
            if (!Grid.Signed) inside.scatter_(1, channels.PinnedAt, inside.gather(1, channels.PinnedAt).mul_(channels.Free.logical_not()));
            var sign = g.sign();
            codes = Pinned(codes, channels);
            if (keep) Keep(first, codes, channels.Scales);
            slopes.narrow(0, first, count).copy_(codes.addcmul_(ratio, inside, Torch.Number(-1)).mul_(g).sum(1, keepdim: true));
            offsets.addcmul_(Grid.Signed ? sign.mul_(channels.Scales.sign()) : sign, inside, Torch.Number(-rate));
        });
        var up = slopes.sign_().mul_(all.Free).mul_(Torch.Number(rate));
        Alpha.sub_(up * all.Below).clamp_(Torch.Number(0), Torch.Number(1));
        Beta.add_(up.mul_(_channels.Largest.gt(Torch.Number(0)).logical_and_(all.Below.logical_not())), Torch.Number(Grid.Signed ? 1 : -1)).clamp_(Torch.Number(0), Torch.Number(1));
    }

    /// <summary>Bytes of what is held besides the weight that was given, which a float32 original shares.</summary>
    internal long BytesBeside(ScalarType given) =>
        new[] { Offsets, Alpha, Beta, _bestCodes, _bestScales, _channels.Smallest, _channels.Largest, _channels.SmallestAt, _channels.LargestAt }
            .Concat(given == ScalarType.Float32 ? [] : new[] { _weight }).Sum(one => one.numel() * one.element_size());

    /// <summary>The best codes as [out, in] int8 and their scales, [out, 1].</summary>
    public (Tensor Codes, Tensor Scales) Best => (_bestCodes, _bestScales);

    public void Dispose()
    {
        foreach (var one in new[] { _weight, Offsets, Alpha, Beta, _bestCodes, _bestScales, _channels.Smallest, _channels.Largest, _channels.SmallestAt, _channels.LargestAt })
            one.Dispose();
    }

    private void Keep(long first, Tensor codes, Tensor scales)
    {
        _bestCodes.narrow(0, first, codes.shape[0]).copy_(codes);
        _bestScales.narrow(0, first, codes.shape[0]).copy_(scales);
    }

    private Tensor Codes(long first, long count, ChannelScales channels) =>
        Pinned(LearnedRounding.Ratio(_weight.narrow(0, first, count), channels.Scales, Grid).Plus_(Offsets.narrow(0, first, count)).round_().clamp_(Lowest, Highest), channels);

    private Scalar Lowest => Torch.Number(Grid.Minimum);

    private Scalar Highest => Torch.Number(Grid.Maximum);

    private Tensor Pinned(Tensor codes, ChannelScales channels) =>
        Grid.Signed ? codes : codes.scatter_(1, channels.PinnedAt, channels.PinnedCodes(codes));

    private ChannelScales Parts(Action<long, long, ChannelScales> work)
    {
        var all = _channels.Under(Alpha, Beta, Grid);
        long rows = _weight.shape[0], step = Math.Max(1, PartValues / _weight.shape[1]);
        if (step >= rows)
        {
            using var scope = NewDisposeScope();
            work(0, rows, all);
            return all;
        }
        long[] starts = [.. Enumerable.Range(0, (int)((rows + step - 1) / step)).Select(part => part * step)];
        bool sideBySide = _weight.device_type == TorchSharp.DeviceType.CPU; // Threads that share a short operation wait for each other: 36 ms a step, not 20.
        Torch.ForEach(sideBySide ? 0 : long.MaxValue, starts, first => Torch.Run(() =>
        {
            long count = Math.Min(step, rows - first);
            work(first, count, all.Rows(first, count));
        }), CancellationToken.None);
        return all;
    }
}
