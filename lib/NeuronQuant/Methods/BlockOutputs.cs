using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;
using static TorchSharp.torch;

namespace NeuronQuant.Methods;

/// <summary>A block's own outputs on its inputs, to compare with those of other weights: behind attention for q, k and v, behind the MLP for the
/// rest.</summary>
internal sealed class BlockOutputs
{
    private const int Batch = 8;

    private readonly DecoderBlock _block;
    private readonly ModelWalk _walk;
    private readonly CancellationToken _cancellation;
    private readonly double _positions;
    private readonly (Tensor Inputs, Tensor Counted, Tensor Middle, Tensor Output)[] _batches;

    /// <param name="block">in floating point</param>
    /// <param name="walk">the model</param>
    /// <param name="streams">what goes into the block, [texts, length, hidden]</param>
    /// <param name="calibration">which positions count</param>
    /// <param name="cancellation">checked before each batch</param>
    public BlockOutputs(DecoderBlock block, ModelWalk walk, Tensor streams, CalibrationSet calibration, CancellationToken cancellation)
    {
        (_block, _walk, _cancellation) = (block, walk, cancellation);
        int texts = (int)streams.shape[0];
        _positions = Math.Max(1, calibration.Counted.Take(texts).Sum(one => one.Count(counts => counts)));
        _batches = [.. Enumerable.Range(0, (texts + Batch - 1) / Batch).Select(i =>
        {
            int first = i * Batch, count = Math.Min(Batch, texts - first);
            float[] mask = [.. calibration.Counted.Skip(first).Take(count).SelectMany(one => one).Select(value => value ? 1f : 0f)];
            Tensor[] kept = Torch.Run(() =>
            {
                var inputs = streams.narrow(0, first, count).clone();
                var middle = Attend(block, inputs);
                return new[] { inputs, tensor(mask).view(count, -1, 1).to(middle.dtype).to(middle.device), middle, block.Feed(middle) };
            });
            return (kept[0], kept[1], kept[2], kept[3]);
        })];
    }

    /// <summary>Mean squared error of the output when some modules are rounded with scaled columns.</summary>
    /// <param name="linears">modules of one input</param>
    /// <param name="grids">their grids</param>
    /// <param name="scales">s, [in]</param>
    public double Loss(Linear[] linears, IReadOnlyDictionary<ModuleName, Grid> grids, double[] scales)
    {
        bool attention = linears[0].Module.Type.StartsWith("self_attn", StringComparison.Ordinal);
        var work = Torch.Run(() => _block.Fused.Select(fused => fused.Weight.detach().clone()).ToArray());
        Torch.Run(() =>
        {
            foreach (var linear in linears)
            {
                var (whole, first) = Place(work, linear);
                float[] values = ScaledWeight.Rounded(linear.ToWeightMatrix(), grids[linear.Module], scales);
                whole.narrow(0, first, linear.Out).copy_(TensorConversion.Share(values, linear.Out, linear.In));
            }
        });
        var changed = _block.With(work);
        var sums = new double[_batches.Length];
        Torch.ForEach(_walk.Config.HiddenSize < Torch.Small, [.. Enumerable.Range(0, sums.Length)], i => sums[i] = Torch.Run(() =>
        {
            var (inputs, counted, middle, output) = _batches[i];
            var difference = attention ? Attend(changed, inputs) - middle : changed.Feed(middle) - output;
            return (difference * difference * counted).sum(ScalarType.Float64).item<double>();
        }), _cancellation);
        foreach (var one in work) one.Dispose();
        return sums.Sum() / _positions / _walk.Config.HiddenSize;
    }

    private Tensor Attend(DecoderBlock block, Tensor inputs) =>
        block.Attend(inputs.to(_walk.Place.Device), Positions.Of(_walk.Rotary, inputs.shape[1], _walk.Place));

    private (Tensor Whole, long First) Place(Tensor[] work, Linear linear)
    {
        for (int i = 0; i < work.Length; i++)
        {
            long first = 0;
            foreach (var module in _block.Fused[i].Modules)
            {
                if (module.Module == linear.Module) return (work[i], first);
                first += module.Out;
            }
        }
        throw new ModelException(linear.Name, "is no module of this block.");
    }
}
