using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using static TorchSharp.torch;

namespace NeuronQuant.Tuning;

/// <summary>Everything needed to tune one decoder block.</summary>
/// <param name="Block">the block in floating point; it is not changed</param>
/// <param name="Rotary">the model's rotary embedding</param>
/// <param name="Grids">the grid of each linear module of the block that is tuned; the others stay as they are</param>
/// <param name="Inputs">what the quantized model gives the block, [sequences, length, hidden]</param>
/// <param name="Targets">what the floating-point block makes of its own inputs, [sequences, length, hidden]</param>
/// <param name="Counted">1 at positions that count, else 0: [sequences, length, 1]</param>
/// <param name="Recipe">iterations, rate, batches</param>
/// <param name="Rules">loss, rounding and update</param>
public sealed record BlockTask(DecoderBlock Block, RotaryEmbedding Rotary, IReadOnlyDictionary<ModuleName, Grid> Grids, Tensor Inputs, Tensor Targets, Tensor Counted,
    TuningRecipe Recipe, TuningRules Rules);

/// <summary>What tuning made of one block.</summary>
/// <param name="Layer">number of the block</param>
/// <param name="Weights">codes and scales of each tuned module</param>
/// <param name="Losses">minibatch loss of each iteration, before its step; the first is that of rounding to nearest</param>
/// <param name="BestIteration">the iteration whose codes were kept</param>
/// <param name="RoundedLoss">loss of rounding to nearest on all calibration sequences</param>
/// <param name="TunedLoss">loss of the kept codes on all calibration sequences</param>
public sealed record BlockTuning(
    int Layer, IReadOnlyDictionary<ModuleName, QuantizedWeight> Weights, IReadOnlyList<double> Losses, int BestIteration, double RoundedLoss, double TunedLoss);

/// <summary>AutoRound of one block: forward, loss, backward, a step by the gradient's sign.</summary>
/// <remarks>
/// auto-round algorithms/quantization/sign_round/quantizer.py:311-552. For each iteration t: quantize all weights with their V, alpha and
/// beta; run a minibatch; if its loss is the lowest so far, keep the codes; step by rate_t against the sign of each gradient. The state
/// after the last step is not looked at. Losses of different minibatches are compared, so the choice is noisy: that is the method. The
/// two losses over all sequences, before and after, are what to judge a block by.
/// Modules that share an input are one weight here, and one leaf W^ of the graph in the compute type; what is learned is float32. A rounding or an update
/// of the reader's own goes by autograd through the rounding, 1.5 times slower.
/// Left out: momentum, weight decay and gradient accumulation, which auto-round has and leaves off. Weights are not rounded to bf16 after
/// scale * code, since the device multiplies by exactly that.
/// </remarks>
public static class BlockTuner
{
    /// <summary>Tunes one block.</summary>
    /// <param name="task">block, data and recipe</param>
    /// <param name="report">told each iteration and its loss; null for none</param>
    /// <param name="cancellation">checked before each iteration</param>
    /// <exception cref="TuningException">the loss or a weight is not finite, or a grid cannot be tuned on</exception>
    public static BlockTuning Tune(BlockTask task, Action<int, double>? report = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(task);
        task.Recipe.Check();
        using var run = new Run(task);
        Torch.Run(run.Write);
        double rounded = run.LossOfAll(cancellation);
        var (losses, best, bestAt) = (new double[task.Recipe.Iterations], double.PositiveInfinity, 0);
        for (int iteration = 0; iteration < losses.Length; iteration++)
        {
            cancellation.ThrowIfCancellationRequested();
            double loss = losses[iteration] = run.Iterate(iteration, best);
            if (!double.IsFinite(loss))
                throw new TuningException($"layers.{task.Block.Layer}",
                    $"the loss is {loss} at iteration {iteration}: the calibration data or the weights overflow {task.Block.Place.Type}.");
            if (loss < best) (best, bestAt) = (loss, iteration);
            report?.Invoke(iteration, loss);
        }
        Torch.Run(run.WriteBest);
        return new BlockTuning(task.Block.Layer, Torch.Run(run.Weights), losses, bestAt, rounded, run.LossOfAll(cancellation));
    }

    // Some rows of one multiplication, on one grid: what is learned together.
    private sealed record Part(int Fused, long First, LearnedWeight Learned, IReadOnlyList<Linear> Modules);

    private sealed class Run : IDisposable
    {
        private readonly BlockTask _task;
        private readonly TuningLoss _loss;
        private readonly IndexSampler _sampler;
        private readonly Tensor[] _leaves;
        private readonly List<Part> _parts = [];
        private readonly DecoderBlock _work;

        public Run(BlockTask task)
        {
            (_task, _loss) = (task, task.Rules.Loss ?? LearnedRounding.MaskedSquares);
            _sampler = new IndexSampler((int)task.Inputs.shape[0], task.Recipe.BatchSize, task.Recipe.Seed + (ulong)task.Block.Layer);
            _leaves = Torch.Run(() => task.Block.Fused.Select(fused => fused.Weight.detach().clone()).ToArray());
            for (int i = 0; i < _leaves.Length; i++) AddParts(i, task.Block.Fused[i]);
            _work = task.Block.With(_leaves);
        }

        private long Hidden => _task.Inputs.shape[2];

        private bool IsFast => _task.Rules is { Rounding: null, Update: null };

        private TuningRounding Rounding => _task.Rules.Rounding ?? LearnedRounding.Round;

        public double Iterate(int iteration, double best)
        {
            int[] sequences = [.. _sampler.Next()];
            return IsFast ? Fast(sequences, iteration, best) : ByAutograd(sequences, iteration, best);
        }

        public void Write()
        {
            foreach (var part in _parts)
            {
                if (IsFast) part.Learned.Write(Rows(part, _leaves[part.Fused]));
                else
                {
                    var (codes, scales) = Rounding(part.Learned.Weight, part.Learned.Offsets, part.Learned.Alpha, part.Learned.Beta, part.Learned.Grid);
                    Rows(part, _leaves[part.Fused]).copy_(codes * scales);
                }
            }
        }

        public void WriteBest()
        {
            foreach (var part in _parts) Rows(part, _leaves[part.Fused]).copy_(part.Learned.Best.Codes * part.Learned.Best.Scales);
        }

        public double LossOfAll(CancellationToken cancellation)
        {
            int[][] batches = [.. Enumerable.Range(0, (int)_task.Inputs.shape[0]).Chunk(_sampler.BatchSize)];
            var sums = new double[batches.Length];
            Torch.ForEach(Hidden, [.. batches.Index()], batch => sums[batch.Index] = batch.Item.Length * Torch.Run(() => Loss(_work, batch.Item).ToDouble()), cancellation);
            return sums.Sum() / _task.Inputs.shape[0];
        }

        public IReadOnlyDictionary<ModuleName, QuantizedWeight> Weights()
        {
            var weights = new Dictionary<ModuleName, QuantizedWeight>();
            foreach (var part in _parts)
            {
                var (codes, scales) = (part.Learned.Best.Codes.cpu(), part.Learned.Best.Scales.ToFloats());
                int first = 0;
                foreach (var linear in part.Modules)
                {
                    weights[linear.Module] = new QuantizedWeight(linear.Weight.Name, part.Learned.Grid, Granularity.PerChannelSymmetric, linear.Out, linear.In,
                        MemoryMarshal.AsBytes(codes.narrow(0, first, linear.Out).bytes).ToArray(), scales[first..(first + linear.Out)]);
                    first += linear.Out;
                }
            }
            return weights;
        }

        public void Dispose()
        {
            foreach (var part in _parts) part.Learned.Dispose();
            foreach (var leaf in _leaves) leaf.Dispose();
        }

        private double Fast(int[] sequences, int iteration, double best)
        {
            int[] learned = [.. _parts.Select(part => part.Fused).Distinct()];
            foreach (int i in learned) _leaves[i].requires_grad = true;
            double loss = LossAndGradients(sequences);
            Each(part =>
            {
                if (loss < best) part.Learned.Keep();
                part.Learned.Step(Rows(part, _leaves[part.Fused].grad!), RateOf(part, iteration));
                part.Learned.Write(Rows(part, _leaves[part.Fused]));
            });
            foreach (int i in learned) (_leaves[i].grad, _leaves[i].requires_grad) = (null, false);
            return loss;
        }

        // The loss of a small model's batch is the mean of two halves', which need not wait for each other. There are two whatever the threads, and the sum of
        // two gradients does not depend on which comes first: the same bits on one thread and on many.
        private double LossAndGradients(int[] sequences)
        {
            int half = sequences.Length / 2;
            int[][] parts = _task.Rules.Loss is null && Hidden < Torch.Small && half > 0 ? [sequences[..half], sequences[half..]] : [sequences];
            var losses = new double[parts.Length];
            Torch.ForEach(Hidden, [.. parts.Index()], part => losses[part.Index] = Torch.WithGradients(() =>
            {
                var value = Loss(_work, part.Item) * Torch.Number((double)part.Item.Length / sequences.Length);
                value.backward();
                return value.ToDouble();
            }), CancellationToken.None);
            return losses.Sum();
        }

        private void Each(Action<Part> work) => Torch.ForEach(Hidden, _parts, part => Torch.Run(() => work(part)), CancellationToken.None);

        private double ByAutograd(int[] sequences, int iteration, double best)
        {
            foreach (var leaf in _parts.SelectMany(Learned)) leaf.requires_grad = true;
            return Torch.WithGradients(() =>
            {
                var made = _parts.Select(part => Rounding(part.Learned.Weight, part.Learned.Offsets, part.Learned.Alpha, part.Learned.Beta, part.Learned.Grid)).ToArray();
                var weights = _leaves.Select((leaf, i) => Assembled(i, leaf, made)).ToArray();
                var value = Loss(_task.Block.With(weights), sequences);
                value.backward();
                double loss = value.ToDouble();
                using var off = no_grad();
                foreach (var (part, (codes, scales)) in _parts.Zip(made))
                {
                    if (loss < best) part.Learned.Keep(part.Modules[0].Name, codes.detach(), scales.detach());
                    foreach (var leaf in Learned(part))
                    {
                        if (leaf.grad is { } gradient) (_task.Rules.Update ?? LearnedRounding.SignedStep)(leaf, gradient, RateOf(part, iteration));
                        (leaf.grad, leaf.requires_grad) = (null, false);
                    }
                    part.Learned.Alpha.clamp_(Torch.Number(0), Torch.Number(1));
                    part.Learned.Beta.clamp_(Torch.Number(0), Torch.Number(1));
                }
                return loss;
            });
        }

        // The rows of a fused weight in order: those that learn from their codes, the others as they are.
        private Tensor Assembled(int fused, Tensor leaf, (Tensor Codes, Tensor Scales)[] made)
        {
            var rows = new List<Tensor>();
            long next = 0;
            foreach (var (part, (codes, scales)) in _parts.Zip(made).Where(pair => pair.First.Fused == fused))
            {
                if (part.First > next) rows.Add(leaf.narrow(0, next, part.First - next));
                rows.Add((codes * scales).to(leaf.dtype));
                next = part.First + codes.shape[0];
            }
            if (next < leaf.shape[0]) rows.Add(leaf.narrow(0, next, leaf.shape[0] - next));
            return cat(rows, 0);
        }

        private Tensor Loss(DecoderBlock block, int[] sequences)
        {
            var device = block.Place.Device;
            var index = tensor(Array.ConvertAll(sequences, sequence => (long)sequence));
            Tensor Chosen(Tensor all) => all.index_select(0, index).to(device);
            var output = block.Forward(Chosen(_task.Inputs), Positions.Of(_task.Rotary, _task.Inputs.shape[1], block.Place));
            return _loss(output, Chosen(_task.Targets), Chosen(_task.Counted));
        }

        private void AddParts(int fused, FusedLinear weight)
        {
            long first = 0;
            Grid? Of(Linear linear) => _task.Grids.GetValueOrDefault(linear.Module);
            for (int i = 0; i < weight.Modules.Count;)
            {
                Linear[] run = [.. weight.Modules.Skip(i).TakeWhile(linear => Of(linear) == Of(weight.Modules[i]))];
                long rows = run.Sum(linear => linear.Out), start = first;
                if (Of(run[0]) is { } grid)
                {
                    foreach (var linear in run) LearnedWeight.CheckFinite(linear.Weight.Name, linear.Weight.Tensor);
                    _parts.Add(new Part(fused, start, new LearnedWeight(run[0].Weight.Name, Torch.Run(() => weight.Weight.narrow(0, start, rows)), grid), run));
                }
                (first, i) = (first + rows, i + run.Length);
            }
        }

        private double RateOf(Part part, int iteration) => _task.Recipe.RateAt(iteration, part.Learned.Grid.Bits);

        private static Tensor Rows(Part part, Tensor whole) => whole.narrow(0, part.First, part.Learned.Weight.shape[0]);

        private static Tensor[] Learned(Part part) => [part.Learned.Offsets, part.Learned.Alpha, part.Learned.Beta];
    }
}
