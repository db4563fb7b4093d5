using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Tuning;

/// <summary>One block while it is tuned: its leaves, what is learned of each, and an iteration's forward, backward and step.</summary>
/// <remarks>
/// Modules that share an input are one weight here, and one leaf W^ of the graph in the compute type; what is learned is float32. The gradient of W^ is all
/// that a step needs: no graph holds the rounding of a whole block. What lies behind the last position that counts is not computed: attention is
/// causal, so nothing before it would change. A loss of the reader's own gets whole sequences all the same, since it may take a mean over them.
/// </remarks>
internal sealed class BlockRun : IDisposable
{
    private readonly BlockTask _task;
    private readonly TuningLoss _loss;
    private readonly IEnumerator<int[]> _minibatches;
    private readonly int[] _ends;
    private readonly Tensor[] _leaves;
    private readonly List<Part> _parts = [];
    private readonly DecoderBlock _work;

    // Some rows of one multiplication, on one grid: what is learned together.
    private sealed record Part(int Fused, long First, LearnedWeight Learned, IReadOnlyList<Linear> Modules);

    public BlockRun(BlockTask task)
    {
        (_task, _loss) = (task, task.Rules.Loss ?? LearnedRounding.MaskedSquares);
        _minibatches = Minibatches.Of(Count, BatchSize, task.Recipe.Seed + (ulong)task.Block.Layer).GetEnumerator();
        _ends = Torch.Run(() => Ends(task.Counted));
        _leaves = Torch.Run(() => task.Block.Fused.Select(fused => fused.Weight.detach().clone()).ToArray());
        for (int i = 0; i < _leaves.Length; i++) AddParts(i, task.Block.Fused[i]);
        _work = task.Block.With(_leaves);
    }

    private int Count => (int)_task.Inputs.shape[0];

    private int BatchSize => Math.Min(_task.Recipe.BatchSize, Count);

    private long Hidden => _task.Inputs.shape[2];

    private long Length => _task.Inputs.shape[1];

    // A small model's weights go side by side, but for a rounding or an update of the reader's own, which is called by one thread.
    private bool SideBySide => Hidden < Torch.Small && _task.Rules is { Rounding: null, Update: null };

    /// <summary>One minibatch: its loss, the codes kept where it is the lowest so far, and a step.</summary>
    public double Iterate(int iteration, double best)
    {
        _minibatches.MoveNext();
        int[] learned = [.. _parts.Select(part => part.Fused).Distinct()];
        foreach (int i in learned) _leaves[i].requires_grad = true;
        double loss = LossAndGradients(_minibatches.Current);
        Torch.ForEach(SideBySide, [.. _parts.OrderByDescending(part => part.Learned.Weight.shape[0])], part => Torch.Run(() => part.Learned.Step(
            Rows(part, _leaves[part.Fused].grad!), _task.Recipe.RateAt(iteration, part.Learned.Grid.Bits), loss < best, Rows(part, _leaves[part.Fused]))), CancellationToken.None);
        foreach (int i in learned) (_leaves[i].grad, _leaves[i].requires_grad) = (null, false);
        return loss;
    }

    /// <summary>Puts the codes of the moment into the leaves.</summary>
    public void Write()
    {
        foreach (var part in _parts) part.Learned.Write(Rows(part, _leaves[part.Fused]));
    }

    /// <summary>Puts the best codes into the leaves.</summary>
    public void WriteBest()
    {
        foreach (var part in _parts) Rows(part, _leaves[part.Fused]).copy_(part.Learned.Best.Codes * part.Learned.Best.Scales);
    }

    /// <summary>The loss of what is in the leaves, on all sequences.</summary>
    public double LossOfAll(CancellationToken cancellation)
    {
        int[][] batches = [.. Enumerable.Range(0, Count).OrderByDescending(sequence => _ends[sequence]).Chunk(BatchSize)];
        var sums = new double[batches.Length];
        Torch.ForEach(Hidden < Torch.Small, [.. batches.Index()], batch => sums[batch.Index] = Torch.Run(() => Loss(_work, batch.Item, Count).ToDouble()), cancellation);
        return sums.Sum();
    }

    /// <summary>The best codes and scales of each module.</summary>
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
        _minibatches.Dispose();
    }

    // The loss of a small model's batch is the sum of two halves', the longer sequences and the shorter, which need not wait for each other. There are two
    // whatever the threads, and the sum of two gradients does not depend on which comes first: the same bits on one thread and on many.
    private double LossAndGradients(int[] sequences)
    {
        int count = sequences.Length, half = count / 2;
        Array.Sort(sequences, (a, b) => _ends[b].CompareTo(_ends[a]));
        int[][] parts = _task.Rules.Loss is null && Hidden < Torch.Small && half > 0 ? [sequences[..half], sequences[half..]] : [sequences];
        var losses = new double[parts.Length];
        Torch.ForEach(Hidden < Torch.Small, [.. parts.Index()], part => losses[part.Index] = Torch.WithGradients(() =>
        {
            var value = Loss(_work, part.Item, count);
            value.backward();
            return value.ToDouble();
        }), CancellationToken.None);
        return losses.Sum();
    }

    // The part that some sequences have in the loss of a number of sequences.
    private Tensor Loss(DecoderBlock block, int[] sequences, int of)
    {
        var device = block.Place.Device;
        var index = tensor(Array.ConvertAll(sequences, sequence => (long)sequence));
        long length = _task.Rules.Loss is null ? sequences.Max(sequence => _ends[sequence]) : Length;
        Tensor Chosen(Tensor all) => all.narrow(1, 0, length).index_select(0, index).to(device);
        var output = block.Forward(Chosen(_task.Inputs), Positions.Of(_task.Rotary, length, block.Place));
        return _loss(output, Chosen(_task.Targets), Chosen(_task.Counted)) * Torch.Number((double)sequences.Length * length / ((double)of * Length));
    }

    // Of each sequence the end of what counts, and 1 where nothing does.
    private static int[] Ends(Tensor counted) =>
        [.. (counted.squeeze(-1) * Torch.Count(counted.shape[1], counted.device).add(Torch.Whole(1), Torch.Whole(1))).amax([1]).ToFloats().Select(end => Math.Max(1, (int)end))];

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
                _parts.Add(new Part(fused, start, new LearnedWeight(run[0].Weight.Name, Torch.Run(() => weight.Weight.narrow(0, start, rows)), grid, _task.Rules), run));
            }
            (first, i) = (first + rows, i + run.Length);
        }
    }

    private static Tensor Rows(Part part, Tensor whole) => whole.narrow(0, part.First, part.Learned.Weight.shape[0]);
}
