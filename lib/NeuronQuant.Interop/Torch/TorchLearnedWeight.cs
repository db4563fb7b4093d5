using NeuronQuant.Quantization;
using NeuronQuant.Tuning;
using static TorchSharp.torch;

namespace NeuronQuant.Interop.Torch;

/// <summary>One weight while it is tuned on a device: the twin of <see cref="LearnedWeight"/>, with its formulas in torch.</summary>
/// <remarks>
/// Formulas are in <see cref="RoundingReference"/>. Rounding offsets and weights stay on the device, float32 in any compute type, since a step of
/// 0.005 is lost beside 0.5 in bf16; scales and range factors stay in <see cref="LearnedChannels"/>, a few numbers a channel that cross over. On the
/// device: the weight, its offsets, the best codes so far (a byte each), and while one module steps about five times its size.
/// </remarks>
internal sealed class TorchLearnedWeight : IDisposable
{
    private readonly string _name;
    private readonly LearnedChannels _channels;
    private readonly Tensor _original, _offsets, _best;
    private readonly float[] _bestScales;
    private readonly Device _device;

    public TorchLearnedWeight(string name, float[] original, int rows, int columns, Grid grid, Device device)
    {
        (_name, Rows, Columns, _device, _bestScales) = (name, rows, columns, device, new float[rows]);
        _channels = new LearnedChannels(name, original, rows, columns, grid);
        using var scope = NewDisposeScope();
        _original = TensorConversion.Share(original, rows, columns).clone().to(device).DetachFromDisposeScope();
        _offsets = zeros([rows, columns], ScalarType.Float32, device).DetachFromDisposeScope();
        _best = zeros([rows, columns], ScalarType.Int8, device).DetachFromDisposeScope();
    }

    public int Rows { get; }

    public int Columns { get; }

    public Grid Grid => _channels.Grid;

    /// <summary>Writes scale * code of every weight into a leaf.</summary>
    public void Quantize(Tensor target)
    {
        using var off = no_grad();
        using var scope = NewDisposeScope();
        var row = Channels();
        target.copy_(Round(row).Code * row.Scale);
    }

    /// <summary>One step of signed gradient descent.</summary>
    /// <param name="gradient">[rows, columns], dL/dW^</param>
    /// <param name="rate">the step's length</param>
    public void Step(Tensor gradient, float rate)
    {
        using var off = no_grad();
        using var scope = NewDisposeScope();
        var row = Channels();
        var (code, ratio, inside) = Round(row);
        var slopes = (gradient * (code - ratio * inside)).sum(1).ToFloats();
        _offsets.sub_((gradient.sign() * row.Scale.sign() * inside).mul_(rate));
        for (int i = 0; i < Rows; i++) _channels.Step(i, row.Channels[i], slopes[i], rate);
    }

    /// <summary>Remembers the present codes and scales as the best.</summary>
    public void KeepBest()
    {
        using var off = no_grad();
        using var scope = NewDisposeScope();
        var row = Channels();
        _best.copy_(Round(row).Code);
        for (int i = 0; i < Rows; i++) _bestScales[i] = row.Channels[i].Scale;
    }

    /// <summary>The best codes.</summary>
    public QuantizedWeight Best()
    {
        using var scope = NewDisposeScope();
        var codes = new byte[checked(Rows * Columns)];
        _best.to(CPU).contiguous().bytes.CopyTo(codes);
        return new QuantizedWeight(_name, Grid, Granularity.PerChannelSymmetric, Rows, Columns, codes, [.. _bestScales]);
    }

    /// <summary>Writes scale * code of the best into a leaf.</summary>
    public void Restore(Tensor target)
    {
        using var off = no_grad();
        using var scope = NewDisposeScope();
        target.copy_(_best.to(ScalarType.Float32) * tensor(_bestScales, Rows, 1).to(_device));
    }

    public void Dispose()
    {
        _original.Dispose();
        _offsets.Dispose();
        _best.Dispose();
    }

    // Codes [rows, columns] as float32, w / s, and 1 for a code that neither the clamp nor the pin moved.
    private (Tensor Code, Tensor Ratio, Tensor Inside) Round(Row row)
    {
        var ratio = Grid.Signed ? _original / row.Scale : _original * row.Inverse;
        var rounded = (ratio + _offsets).round();
        var code = rounded.clamp(Grid.Minimum, Grid.Maximum);
        var inside = code.eq(rounded).to(ScalarType.Float32);
        if (row.PinnedAt is null) return (code, ratio, inside);
        code.scatter_(1, row.PinnedAt, where(row.IsPinned!, row.PinnedCode!, code.gather(1, row.PinnedAt)));
        inside.scatter_(1, row.PinnedAt, where(row.IsPinned!, zeros_like(row.PinnedCode!), inside.gather(1, row.PinnedAt)));
        return (code, ratio, inside);
    }

    // What the channels say now, on the device: [rows, 1] each.
    private Row Channels()
    {
        var channels = new ChannelScale[Rows];
        var pinned = new int[Rows];
        for (int i = 0; i < Rows; i++) (channels[i], pinned[i]) = _channels[i];
        Tensor Column(IEnumerable<float> values) => tensor(values.ToArray(), Rows, 1).to(_device);
        var (scale, inverse) = (Column(channels.Select(channel => channel.Scale)), Column(channels.Select(channel => 1f / channel.Scale)));
        return !pinned.Any(at => at >= 0) ? new Row(channels, scale, inverse, null, null, null) : new Row(channels, scale, inverse,
            tensor(pinned.Select(at => (long)Math.Max(at, 0)).ToArray(), Rows, 1).to(_device), Column(channels.Select(channel => channel.PinnedCode)),
            tensor(pinned.Select(at => at >= 0).ToArray(), Rows, 1).to(_device));
    }

    private sealed record Row(ChannelScale[] Channels, Tensor Scale, Tensor Inverse, Tensor? PinnedAt, Tensor? PinnedCode, Tensor? IsPinned);
}
