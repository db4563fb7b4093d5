using NeuronQuant.Checkpoints;
using NeuronQuant.Models;

namespace NeuronQuant.Tuning;

/// <summary>AutoRound of one block on the kernels of Models: forward, masked loss, backward, a step by the gradient's sign.</summary>
/// <remarks>
/// auto-round algorithms/quantization/sign_round/quantizer.py:311-552. For each iteration t: quantize all weights with their V, alpha and
/// beta; run a minibatch; if its loss is the lowest so far, keep the codes; step by rate_t against the sign of each gradient. The state
/// after the last step is not looked at. Losses of different minibatches are compared, so the choice is noisy: that is the method. The
/// two losses over all sequences, before and after, are what to judge a block by.
/// Left out: momentum, weight decay and gradient accumulation, which auto-round has and leaves off. Weights are not rounded to bf16 after
/// scale * code, since the device multiplies by exactly that.
/// Beyond activations a block's state is its quantized copy, V, a byte a weight for the best codes, and the gradient of its largest module:
/// about 2.5 times its float weights.
/// </remarks>
public sealed class ManagedBlockTuner : IBlockTuner
{
    /// <inheritdoc/>
    public string Name => "managed";

    /// <inheritdoc/>
    public BlockTuning Tune(BlockTask task, Action<int, double>? report = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(task);
        task.Recipe.Check();
        var run = new Run(task);
        foreach (var (module, learned) in run.Modules) learned.Quantize(module.Weight.Values);
        double rounded = run.LossOfAll(cancellation);
        var (losses, best, bestAt) = (new double[task.Recipe.Iterations], double.PositiveInfinity, 0);
        run.ShareGradient();
        for (int iteration = 0; iteration < losses.Length; iteration++)
        {
            cancellation.ThrowIfCancellationRequested();
            double loss = losses[iteration] = run.Iterate(task.Recipe, iteration, best);
            if (!double.IsFinite(loss))
                throw new TuningException($"layers.{task.Block.Layer}",
                    $"the loss is {loss} at iteration {iteration}: the calibration data or the weights overflow float32.");
            if (loss < best) (best, bestAt) = (loss, iteration);
            report?.Invoke(iteration, loss);
        }
        var weights = run.Modules.ToDictionary(entry => ModuleName.Parse(entry.Module.Name), entry => entry.Learned.Best);
        foreach (var (module, learned) in run.Modules) QuantizedBlock.Apply(module, learned.Best);
        return new BlockTuning(task.Block.Layer, weights, losses, bestAt, rounded, run.LossOfAll(cancellation));
    }

    private sealed class Run
    {
        private readonly BlockTask _task;
        private readonly DecoderBlock _work;
        private readonly IndexSampler _sampler;
        private readonly BlockActivations _kept = new();
        private readonly BlockGradients _scratch = new();
        private readonly float[] _stream;
        private readonly float[][] _targets;
        private readonly bool[][] _counted;
        private readonly int _values;
        private readonly Dictionary<Linear, LearnedWeight> _learned;

        public Run(BlockTask task)
        {
            _task = task;
            _work = QuantizedBlock.Copy(task.Config, task.Block, task.Rotary);
            _sampler = new IndexSampler(task.Inputs.Count, task.Recipe.BatchSize, task.Recipe.Seed + (ulong)task.Block.Layer);
            _values = task.Length * task.Config.HiddenSize;
            (_stream, _targets, _counted) = (new float[_sampler.BatchSize * _values], new float[_sampler.BatchSize][], new bool[_sampler.BatchSize][]);
            Modules = [.. _work.Linears.Zip(task.Block.Linears).Where(pair => task.Grids.ContainsKey(ModuleName.Parse(pair.First.Name)))
                .Select(pair => (pair.First, new LearnedWeight(pair.First.Weight.Name, pair.Second.Weight.Values, pair.First.Out, pair.First.In,
                    task.Grids[ModuleName.Parse(pair.First.Name)])))];
            _learned = Modules.ToDictionary(entry => entry.Module, entry => entry.Learned);
        }

        public IReadOnlyList<(Linear Module, LearnedWeight Learned)> Modules { get; }

        // One buffer for all modules: each takes its step, which clears the buffer, before the next one's gradient is computed.
        public void ShareGradient()
        {
            float[] buffer = new float[Modules.Max(entry => entry.Module.Weight.Values.Length)];
            foreach (var (module, _) in Modules) module.Weight.UseGradient(buffer);
        }

        public double Iterate(TuningRecipe recipe, int iteration, double best)
        {
            foreach (var (module, learned) in Modules) learned.Quantize(module.Weight.Values);
            double loss = Loss(_sampler.Next());
            if (loss < best)
                foreach (var (_, learned) in Modules) learned.KeepBest();
            _work.Backward(_stream, _kept, _scratch, toInput: false, ready: module =>
            {
                if (_learned.GetValueOrDefault(module) is { } learned) learned.Step(module.Weight.Gradient!, (float)recipe.RateAt(iteration, learned.Grid.Bits));
            });
            return loss;
        }

        public double LossOfAll(CancellationToken cancellation)
        {
            double sum = 0;
            int[] indices = [.. Enumerable.Range(0, _task.Inputs.Count)];
            for (int first = 0; first < indices.Length; first += _sampler.BatchSize)
            {
                cancellation.ThrowIfCancellationRequested();
                var batch = indices.AsSpan(first, Math.Min(_sampler.BatchSize, indices.Length - first));
                sum += Loss(batch) * batch.Length;
            }
            return sum / indices.Length;
        }

        // The loss of some sequences; _stream becomes the gradient of the block's output.
        private double Loss(ReadOnlySpan<int> sequences)
        {
            for (int i = 0; i < sequences.Length; i++)
            {
                _task.Inputs[sequences[i]].CopyTo(_stream, i * _values);
                (_targets[i], _counted[i]) = (_task.Targets[sequences[i]], _task.Counted[sequences[i]]);
            }
            _work.Forward(_stream, _stream, sequences.Length, _task.Length, _kept);
            return BlockLoss.ForwardBackward(_stream, _targets.AsMemory(0, sequences.Length), _counted.AsMemory(0, sequences.Length), _task.Length,
                _task.Config.HiddenSize);
        }
    }
}
