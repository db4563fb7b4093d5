using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Tuning;

/// <summary>One block while it is tuned: its leaves, what is learned of each, and an iteration's forward, backward and step.</summary>
/// <remarks>
/// Modules that share an input are one weight here, and one leaf W^ of the graph in the compute type; what is learned is float32. A rounding or an update
/// of the reader's own goes by autograd through the rounding, 1.5 times slower. What lies behind the last position that counts is not computed: attention is
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

    private bool IsFast => _task.Rules is { Rounding: null, Update: null };

    private TuningRounding Rounding => _task.Rules.Rounding ?? LearnedRounding.Round;

    /// <summary>One minibatch: its loss, the codes kept where it is the lowest so far, and a step.</summary>
    public double Iterate(int iteration, double best)
    {
        _minibatches.MoveNext();
        return IsFast ? Fast(_minibatches.Current, iteration, best) : ByAutograd(_minibatches.Current, iteration, best);
    }

    /// <summary>Puts the codes of the moment into the leaves.</summary>
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

    private double Fast(int[] sequences, int iteration, double best)
    {
        int[] learned = [.. _parts.Select(part => part.Fused).Distinct()];
        foreach (int i in learned) _leaves[i].requires_grad = true;
        double loss = LossAndGradients(sequences);
        Torch.ForEach(Hidden < Torch.Small, [.. _parts.OrderByDescending(part => part.Learned.Weight.shape[0])], part => Torch.Run(() =>
            part.Learned.Step(Rows(part, _leaves[part.Fused].grad!), RateOf(part, iteration), loss < best, Rows(part, _leaves[part.Fused]))), CancellationToken.None);
        foreach (int i in learned) (_leaves[i].grad, _leaves[i].requires_grad) = (null, false);
        return loss;
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

    private double ByAutograd(int[] sequences, int iteration, double best)
    {
        foreach (var leaf in _parts.SelectMany(Learned)) leaf.requires_grad = true;
        return Torch.WithGradients(() =>
        {
            var made = _parts.Select(part => Rounding(part.Learned.Weight, part.Learned.Offsets, part.Learned.Alpha, part.Learned.Beta, part.Learned.Grid)).ToArray();
            var weights = _leaves.Select((leaf, i) => Assembled(i, leaf, made)).ToArray();
            var value = Loss(_task.Block.With(weights), sequences, sequences.Length);
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
                _parts.Add(new Part(fused, start, new LearnedWeight(run[0].Weight.Name, Torch.Run(() => weight.Weight.narrow(0, start, rows)), grid), run));
            }
            (first, i) = (first + rows, i + run.Length);
        }
    }

    private double RateOf(Part part, int iteration) => _task.Recipe.RateAt(iteration, part.Learned.Grid.Bits);

    private static Tensor Rows(Part part, Tensor whole) => whole.narrow(0, part.First, part.Learned.Weight.shape[0]);

    private static Tensor[] Learned(Part part) => [part.Learned.Offsets, part.Learned.Alpha, part.Learned.Beta];
}
