using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tuning;
using static TorchSharp.torch;

namespace NeuronQuant.Interop.Torch;

/// <summary>Where and how torch computes.</summary>
/// <param name="Device">the CPU or a GPU</param>
/// <param name="Compute">type of the multiplications: float32, or bfloat16 for half the memory and a GPU's full speed; learning is in float32</param>
/// <param name="SequencesAtOnce">sequences of a minibatch that go through the block together; their gradients add up. Fewer need less memory; 0 for all</param>
public sealed record TorchOptions(Device Device, ScalarType Compute = ScalarType.Float32, int SequencesAtOnce = 0);

/// <summary>AutoRound of one block on torch, CUDA or CPU: the same algorithm, batches and scales as <see cref="ManagedBlockTuner"/>.</summary>
/// <remarks>
/// The method and its source are described there. autograd gives dL/dW^ for the float32 leaves; the step itself is written out, so that no graph is kept
/// from one iteration to the next. Memory on the device: per weight 4 bytes each of W^, its gradient, W and V and one of codes, and the
/// activations of <see cref="TorchOptions.SequencesAtOnce"/> sequences with their attention scores; inputs and targets wait on the CPU.
/// Left out: scaling of the loss, which bfloat16 does not need (it has float32's range).
/// </remarks>
public sealed class TorchBlockTuner : IBlockTuner
{
    private readonly TorchOptions _options;

    /// <param name="options">device, type, sequences at once</param>
    /// <exception cref="ArgumentException">the type is not float32 or bfloat16</exception>
    public TorchBlockTuner(TorchOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Compute is not (ScalarType.Float32 or ScalarType.BFloat16))
            throw new ArgumentException($"{options.Compute} is not a type to tune in: use Float32 or BFloat16.", nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(options.SequencesAtOnce);
        _options = options;
    }

    /// <inheritdoc/>
    public string Name => $"torchsharp {_options.Device} {_options.Compute}";

    /// <inheritdoc/>
    public BlockTuning Tune(BlockTask task, Action<int, double>? report = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(task);
        task.Recipe.Check();
        using var run = new Run(task, _options);
        foreach (var (leaf, learned) in run.Modules) learned.Quantize(leaf);
        double rounded = run.LossOfAll(cancellation);
        var (losses, best, bestAt) = (new double[task.Recipe.Iterations], double.PositiveInfinity, 0);
        for (int iteration = 0; iteration < losses.Length; iteration++)
        {
            cancellation.ThrowIfCancellationRequested();
            double loss = losses[iteration] = run.Iterate(iteration, best);
            if (!double.IsFinite(loss))
                throw new TuningException($"layers.{task.Block.Layer}", $"the loss is {loss} at iteration {iteration}: the calibration data or the weights overflow {_options.Compute}.");
            if (loss < best) (best, bestAt) = (loss, iteration);
            report?.Invoke(iteration, loss);
        }
        foreach (var (leaf, learned) in run.Modules) learned.Restore(leaf);
        return new BlockTuning(task.Block.Layer, run.Best(), losses, bestAt, rounded, run.LossOfAll(cancellation));
    }

    /// <summary>The loss of some sequences with the weights rounded to nearest, and its gradient by each tuned module's quantized weight.</summary>
    internal (double Loss, IReadOnlyDictionary<ModuleName, float[]> Gradients) LossAndGradients(BlockTask task, int[] sequences)
    {
        using var run = new Run(task, _options);
        foreach (var (leaf, learned) in run.Modules) learned.Quantize(leaf);
        double loss = run.Loss(sequences, gradients: true);
        return (loss, run.Named.ToDictionary(entry => entry.Key, entry => entry.Value.Leaf.grad!.ToFloats()));
    }

    private sealed class Run : IDisposable
    {
        private readonly BlockTask _task;
        private readonly TorchOptions _options;
        private readonly TorchBlock _block;
        private readonly IndexSampler _sampler;

        public Run(BlockTask task, TorchOptions options)
        {
            (_task, _options, _block) = (task, options, new TorchBlock(task, options.Device, options.Compute));
            _sampler = new IndexSampler(task.Inputs.Count, task.Recipe.BatchSize, task.Recipe.Seed + (ulong)task.Block.Layer);
            Named = task.Block.Linears.Where(linear => task.Grids.ContainsKey(ModuleName.Parse(linear.Name))).ToDictionary(linear => ModuleName.Parse(linear.Name), Learn);
        }

        public IReadOnlyDictionary<ModuleName, (Tensor Leaf, TorchLearnedWeight Learned)> Named { get; }

        public IEnumerable<(Tensor Leaf, TorchLearnedWeight Learned)> Modules => Named.Values;

        public double Iterate(int iteration, double best)
        {
            foreach (var (leaf, learned) in Modules) learned.Quantize(leaf);
            double loss = Loss(_sampler.Next().ToArray(), gradients: true);
            if (loss < best)
                foreach (var (_, learned) in Modules) learned.KeepBest();
            foreach (var (leaf, learned) in Modules)
            {
                using var scope = NewDisposeScope();
                var gradient = leaf.grad!;
                learned.Step(gradient, (float)_task.Recipe.RateAt(iteration, learned.Grid.Bits));
                gradient.zero_();
            }
            return loss;
        }

        public double LossOfAll(CancellationToken cancellation)
        {
            double sum = 0;
            foreach (int[] batch in Enumerable.Range(0, _task.Inputs.Count).Chunk(_sampler.BatchSize))
            {
                cancellation.ThrowIfCancellationRequested();
                sum += Loss(batch, gradients: false) * batch.Length;
            }
            return sum / _task.Inputs.Count;
        }

        /// <summary>The mean squared difference over the positions that count, divided by all values as <see cref="BlockLoss"/> does; gradients add up.</summary>
        public double Loss(int[] sequences, bool gradients)
        {
            double sum = 0, values = (double)sequences.Length * _task.Length * _task.Config.HiddenSize;
            using var mode = set_grad_enabled(gradients);
            foreach (int[] part in sequences.Chunk(_options.SequencesAtOnce == 0 ? sequences.Length : _options.SequencesAtOnce))
            {
                using var scope = NewDisposeScope();
                var difference = (_block.Forward(Stack(part, _task.Inputs)) - Stack(part, _task.Targets)) * Mask(part);
                var squares = difference.pow(2).sum();
                sum += squares.detach().to(CPU).to(ScalarType.Float64).item<double>();
                if (gradients) (squares / values).backward();
            }
            return sum / values;
        }

        public Dictionary<ModuleName, QuantizedWeight> Best() => Named.ToDictionary(entry => entry.Key, entry => entry.Value.Learned.Best());

        public void Dispose()
        {
            foreach (var (_, learned) in Modules) learned.Dispose();
            _block.Dispose();
        }

        private (Tensor Leaf, TorchLearnedWeight Learned) Learn(Linear linear)
        {
            var leaf = _block.WeightOf(linear.Name);
            leaf.requires_grad = true;
            return (leaf, new TorchLearnedWeight(linear.Weight.Name, linear.Weight.Values, linear.Out, linear.In, _task.Grids[ModuleName.Parse(linear.Name)], _options.Device));
        }

        private Tensor Stack(int[] sequences, IReadOnlyList<float[]> streams) =>
            stack([.. sequences.Select(i => TensorConversion.Share(streams[i], _task.Length, _task.Config.HiddenSize))]).to(_options.Device);

        private Tensor Mask(int[] sequences) =>
            tensor(sequences.SelectMany(i => _task.Counted[i].Select(counts => counts ? 1f : 0f)).ToArray(), sequences.Length, _task.Length, 1).to(_options.Device);
    }
}
