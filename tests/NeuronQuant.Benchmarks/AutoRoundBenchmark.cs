using System.Diagnostics;
using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;
using static TorchSharp.torch;

namespace NeuronQuant.Benchmarks;

/// <summary>
/// One AutoRound iteration of a block (hidden 1024, intermediate 2816, 8 query and 2 key-value heads of 128, 4 sequences of 256 tokens,
/// float32 and bfloat16), beside exactly the multiplications that it cannot do without: every linear module forward and its weight gradient, and
/// the input gradients of all but q, k and v.
/// </summary>
internal static class AutoRoundBenchmark
{
    private const int Iterations = 12, Sequences = 4, Length = 256, Rows = Sequences * Length;

    private static readonly ModelConfig Config = new()
    {
        File = "config.json",
        Family = ModelFamily.Llama,
        HiddenSize = 1024,
        IntermediateSize = 2816,
        LayerCount = 1,
        HeadCount = 8,
        KeyValueHeadCount = 2,
        HeadSize = 128,
        VocabularySize = 32,
        MaxPositionEmbeddings = 1024,
        RmsNormEpsilon = 1e-5,
        TieWordEmbeddings = true,
    };

    public static void Run()
    {
        foreach (var type in new[] { ScalarType.Float32, ScalarType.BFloat16 })
        {
            var model = new LlamaModel(Config, Placement.Of(type));
            Initialization.Fill(model, 5);
            var task = Task(model);
            var own = task with { Rules = new TuningRules("own", Rounding: LearnedRounding.Round, Update: LearnedRounding.SignedStep) };
            new Measurement($"AutoRound of a block, hidden 1024, 4 x 256 tokens, {type}", "a second", 1)
                .AddRate("NeuronQuant, iteration", () => 1 / IterationSeconds(task))
                .AddRate("NeuronQuant, the same by a rounding and a step of the reader's own", () => 1 / IterationSeconds(own))
                .Add("NeuronQuant, its bare multiplications", Multiplications(type)).Run(7);
        }
    }

    private static BlockTask Task(LlamaModel model)
    {
        manual_seed(5);
        var (block, inputs) = (model.Blocks[0], randn(Sequences, Length, Config.HiddenSize));
        var targets = NeuronQuant.Tensors.Torch.Run(() => block.Forward(inputs, Positions.Of(model.Rotary, Length, model.Place)));
        return new BlockTask(block, model.Rotary, block.Linears.ToDictionary(linear => linear.Module, _ => Grid.Nxd()), inputs, targets, ones(Sequences, Length, 1),
            TuningRecipe.Default with { Iterations = Iterations, BatchSize = Sequences }, new TuningRules());
    }

    // From one report to the next is one iteration, whole; the first two warm up.
    private static double IterationSeconds(BlockTask task)
    {
        var times = new List<long>();
        BlockTuner.Tune(task, (_, _) => times.Add(Stopwatch.GetTimestamp()));
        double[] seconds = [.. times.Zip(times.Skip(1)).Skip(1).Select(pair => Stopwatch.GetElapsedTime(pair.First, pair.Second).TotalSeconds).Order()];
        return seconds[seconds.Length / 2];
    }

    // [rows, in] by [out, in], for each module; the input gradient of all but q, k and v.
    private static Action Multiplications(ScalarType type)
    {
        int hidden = Config.HiddenSize, middle = Config.IntermediateSize;
        (int Out, int In, bool ToInput)[] sizes = [(hidden, hidden, false), (256, hidden, false), (256, hidden, false), (hidden, hidden, true), (middle, hidden, true), (middle, hidden, true), (hidden, middle, true)];
        Tensor Random(int rows, int columns) => randn(rows, columns).to(type);
        var operands = sizes.Select(size => (X: Random(Rows, size.In), Dy: Random(Rows, size.Out), W: Random(size.Out, size.In), size.ToInput)).ToArray();
        return () => NeuronQuant.Tensors.Torch.Run(() =>
        {
            foreach (var (x, dy, w, toInput) in operands)
            {
                x.mm(w.t());
                dy.t().mm(x);
                if (toInput) dy.mm(w);
            }
        });
    }
}
