using System.Runtime.InteropServices;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;
using static TorchSharp.torch;

namespace NeuronQuant.Methods;

/// <summary>The steps of <see cref="AdaRound"/> on one weight; gradients by hand, since each is one product.</summary>
internal sealed class AdaRoundRun
{
    private const double First = 0.9, Second = 0.999, Small = 1e-8; // Adam's own.

    private const double Growth = 1e4; // So many times as large is lambda at the end: no module's error is 100 times rounding's.

    private const double Few = 0.01; // More weights than that are not on their way: the run was too short.

    private readonly QuantizedWeight _start;
    private readonly string _name;
    private readonly Tensor _weight, _gram, _scales, _zeros, _floors, _fixedCodes, _free, _v;
    private readonly double _count;

    /// <param name="weight">[out, in]</param>
    /// <param name="start">scales and zero points, and the codes of what cannot move</param>
    /// <param name="gram">of its inputs</param>
    /// <param name="type">float32, or float64 for tests</param>
    public AdaRoundRun(WeightMatrix weight, QuantizedWeight start, GramMatrix gram, ScalarType type)
    {
        (_name, _start) = (weight.Name, start);
        float[] values = weight.ToArray();
        var (scales, zeros) = (new float[values.Length], new float[values.Length]);
        for (int i = 0; i < values.Length; i++)
        {
            scales[i] = start.Scale(i / weight.Columns, i % weight.Columns);
            zeros[i] = start.ZeroPoint(i / weight.Columns, i % weight.Columns);
        }
        Tensor Of(float[] from) => TensorConversion.Share(from, weight.Rows, weight.Columns).to(type);
        (_weight, _scales, _zeros) = (Of(values), Of(scales), Of(zeros));
        _fixedCodes = Of([.. start.Integers.ToArray().Select(code => (float)code)]);
        var ratio = (_weight / _scales).Plus(_zeros);
        _floors = ratio.floor();
        _free = (_floors.ge(Torch.Number(start.Grid.Minimum)) & _floors.le(Torch.Number(start.Grid.Maximum - 1))).to(type);
        if (FakeQuantization.IsShared(start.Grid)) // Rule R1: the largest weight keeps the largest code.
            _free.scatter_(1, _weight.abs().argmax(1, keepdim: true), zeros_like(_free.narrow(1, 0, 1)));
        _count = Math.Max(1, _free.sum().ToDouble());
        _v = (ratio.sub_(_floors).sub_(Torch.Number(AdaRound.Gamma)).reciprocal_().mul_(Torch.Number(AdaRound.Zeta - AdaRound.Gamma)).sub_(Torch.Number(1))).log_().neg_();
        _gram = gram.ToTensor().to(type);
        _gram = _gram * tensor(1 / RoundedError()); // The error of rounding is then 1.
    }

    public (QuantizedWeight Weight, long Soft) Learn(AdaRoundOptions options, CancellationToken cancellation)
    {
        var (mean, square) = (zeros_like(_v), zeros_like(_v));
        int warm = (int)(options.WarmStart * options.Iterations), step = 0;
        for (; step < options.Iterations; step++)
        {
            double progress = (step - warm) / (double)Math.Max(1, options.Iterations - warm);
            Step(progress < 0 ? null : AdaRound.Beta(progress), options.Lambda * Math.Pow(Growth, Math.Max(0, progress)));
        }
        long soft = Soft();
        for (int last = step + options.Iterations / 2; step < last && soft > 0 && soft < Few * _count; step++) // What is still on its way arrives.
        {
            Step(2, options.Lambda * Growth * Math.Pow(Growth, 1 - (last - step) / (options.Iterations / 2.0)));
            soft = Soft();
        }
        if (soft > 0)
            throw new TuningException(_name, FormattableString.Invariant(
                $"{soft} of {_count:0} weights are between two codes after {step} steps of AdaRound, and would jump when rounded. ")
                + "Give more iterations or a larger lambda.");
        return (Hard(), soft);

        void Step(double? beta, double lambda)
        {
            cancellation.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            var gradient = Gradient(beta, lambda);
            mean.mul_(Torch.Number(First)).add_(gradient, Torch.Number(1 - First));
            square.mul_(Torch.Number(Second)).addcmul_(gradient, gradient, Torch.Number(1 - Second));
            var (unbiased, spread) = (mean / Torch.Number(1 - Math.Pow(First, step + 1)),
                (square / Torch.Number(1 - Math.Pow(Second, step + 1))).sqrt_().add_(Torch.Number(Small), Torch.Number(1)));
            _v.sub_(unbiased.div_(spread).mul_(Torch.Number(options.Rate)));
        }

        long Soft()
        {
            using var scope = NewDisposeScope();
            var heights = Heights(_v.sigmoid());
            return (long)(heights.gt(Torch.Number(0)) & heights.lt(Torch.Number(1)) & _free.gt(Torch.Number(0))).sum().ToDouble();
        }
    }

    // Of count * (relative error + lambda * mean term), by V: the factor keeps Adam's epsilon small against it.
    private Tensor Gradient(double? beta, double lambda)
    {
        var sigmoid = _v.sigmoid();
        var heights = Heights(sigmoid);
        var d = Values(heights).sub_(_weight);
        var slope = d.mm(_gram).mul_(_scales).mul_(Torch.Number(2 * _count));
        if (beta is double power)
        {
            var sides = heights.mul(Torch.Number(2)).sub_(Torch.Number(1));
            slope.sub_(sides.abs().pow_(Torch.Number(power - 1)).mul_(sides.sign()).mul_(Torch.Number(2 * power * lambda)));
        }
        var moving = (heights.gt(Torch.Number(0)) & heights.lt(Torch.Number(1))).to(_v.dtype).mul_(_free);
        return slope.mul_(moving).mul_(sigmoid).mul_(sigmoid.neg().add_(Torch.Number(1), Torch.Number(1))).mul_(Torch.Number(AdaRound.Zeta - AdaRound.Gamma));
    }

    private static Tensor Heights(Tensor sigmoid) => sigmoid.mul(Torch.Number(AdaRound.Zeta - AdaRound.Gamma))
        .add_(Torch.Number(AdaRound.Gamma), Torch.Number(1)).clamp_(Torch.Number(0), Torch.Number(1));

    private Tensor Codes(Tensor heights) => where(_free.gt(Torch.Number(0)), _floors.Plus(heights), _fixedCodes);

    private Tensor Values(Tensor heights) => Codes(heights).sub_(_zeros).mul_(_scales);

    private QuantizedWeight Hard()
    {
        var codes = Codes(_v.ge(Torch.Number(0)).to(_v.dtype)).to(ScalarType.Int8).contiguous();
        return _start with { Codes = MemoryMarshal.AsBytes(codes.bytes).ToArray() };
    }

    private double RoundedError()
    {
        var d = _fixedCodes.sub(_zeros).mul_(_scales).sub_(_weight);
        double error = d.mm(_gram).mul_(d).sum(ScalarType.Float64).ToDouble();
        return error > 0 && double.IsFinite(error) ? error : error == 0 ? 1
            : throw new TuningException(_name,
                $"the error of rounding is {error}: the inputs or weights are not finite. Capture the Gram matrix on real texts.");
    }
}
