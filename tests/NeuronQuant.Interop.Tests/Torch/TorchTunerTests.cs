using NeuronQuant.Checkpoints;
using NeuronQuant.Interop.Torch;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Models;
using NeuronQuant.Tuning;
using Xunit;
using static TorchSharp.torch;

namespace NeuronQuant.Tests.Tuning;

/// <summary>TorchSharp against the managed kernels: one loss, all gradients, codes; accumulation, bf16, and shapes that would end the process.</summary>
public class TorchTunerTests
{
    private const int Sequences = 5, Length = 9;

    public static TheoryData<ModelFamily, int?, string> Kinds => new()
    {
        { ModelFamily.Llama, null, "nxd" }, { ModelFamily.Llama, null, "autoround" }, { ModelFamily.Qwen2, null, "nxd" }, { ModelFamily.Mistral, 4, "nxd" },
    };

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Loss_and_gradients_are_those_of_the_managed_kernels(ModelFamily family, int? window, string grid)
    {
        var task = Task(TestModels.Config(family, window: window), Grid.Parse(grid, 4));
        int[] all = [.. Enumerable.Range(0, Sequences)];
        var (expected, gradients) = Managed(task, all);
        foreach (int atOnce in new[] { 0, 2 }) // whole, and accumulated over 2 + 2 + 1
        {
            var (loss, found) = TunerForTests.Torch(atOnce: atOnce).LossAndGradients(task, all);
            Assert.Equal(1, loss / expected, 1e-5); // two orders of float32 sums
            Assert.Equal(7, found.Count);
            foreach (var (module, gradient) in gradients)
            {
                float largest = gradient.Max(MathF.Abs);
                Assert.True(largest > 0, module.Name);
                for (int i = 0; i < gradient.Length; i++) Assert.Equal(gradient[i] / largest, found[module][i] / largest, 2e-5);
            }
        }
    }

    [Fact]
    public void It_learns_the_codes_that_the_managed_kernels_learn()
    {
        var task = Task(TestModels.Config(), Grid.Nxd(4)) with { Recipe = new TuningRecipe("few", 12, 0.02, BatchSize: 3) };
        var (expected, found) = (new ManagedBlockTuner().Tune(task), TunerForTests.Create().Tune(task));
        Assert.Equal(expected.BestIteration, found.BestIteration);
        Assert.Equal(1, found.RoundedLoss / expected.RoundedLoss, 1e-5);
        Assert.Equal(1, found.TunedLoss / expected.TunedLoss, 1e-3);
        foreach (var (module, weight) in expected.Weights)
        {
            // A gradient near zero may have another sign in another order of sums: a handful of codes differs by one.
            int different = weight.Integers.ToArray().Zip(found.Weights[module].Integers.ToArray()).Count(pair => pair.First != pair.Second);
            Assert.InRange(different, 0, weight.Codes.Length / 100);
        }
    }

    [Fact]
    public void In_bfloat16_it_learns_nearly_as_well()
    {
        var task = Task(TestModels.Config(), Grid.Nxd(4)) with { Recipe = new TuningRecipe("few", 30, 0.02, BatchSize: 3) };
        var tuner = TunerForTests.Torch(ScalarType.BFloat16, 1);
        Assert.Contains("BFloat16", tuner.Name, StringComparison.Ordinal);
        var (single, half) = (TunerForTests.Create().Tune(task), tuner.Tune(task));
        Assert.InRange(single.TunedLoss / single.RoundedLoss, 0, 0.95);
        Assert.InRange(half.TunedLoss / half.RoundedLoss, 0, 0.95);
        Assert.Equal(1, half.RoundedLoss / single.RoundedLoss, 0.1); // 8 bits of mantissa in the multiplications
    }

    [Fact]
    public void The_block_in_floating_point_is_not_changed_and_nothing_is_left_in_memory()
    {
        var task = Task(TestModels.Config(), Grid.Nxd(4)) with { Recipe = new TuningRecipe("few", 2, 0.02, BatchSize: 3) };
        float[][] before = [.. task.Block.Parameters.Select(parameter => parameter.Values.ToArray())];
        _ = TunerForTests.Create().Tune(task);
        long alive = Tensor.TotalCount;
        _ = TunerForTests.Create().Tune(task);
        Assert.Equal(alive, Tensor.TotalCount);
        Assert.Equal(before, task.Block.Parameters.Select(parameter => parameter.Values));
    }

    [Fact]
    public void Shapes_that_would_end_the_process_are_refused()
    {
        _ = TunerForTests.Create();
        using var scope = NewDisposeScope();
        Assert.Contains("q_proj", Assert.Throws<ArgumentException>(() => CheckedMath.Linear("q_proj", zeros(2, 3), zeros(5, 4), null)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => CheckedMath.Linear("q_proj", zeros(2, 3), zeros(5, 3), zeros(4)));
        Assert.Throws<ArgumentException>(() => CheckedMath.Linear("q_proj", zeros(2, 3), zeros([5, 3], ScalarType.BFloat16), null));
        Assert.Throws<ArgumentException>(() => CheckedMath.Batched("scores", zeros(2, 3, 4), zeros(2, 3, 4)));
        Assert.Equal([2L, 3, 5], CheckedMath.Batched("scores", zeros(2, 3, 4), zeros(2, 4, 5)).shape);
        var task = Task(TestModels.Config(), Grid.Nxd(4));
        Assert.ThrowsAny<ArgumentException>(() => TunerForTests.Create().Tune(task with { Inputs = [.. task.Inputs.Select(input => input[..^1])] }));
        Assert.Throws<ArgumentException>(() => new TorchBlockTuner(new TorchOptions(CPU, ScalarType.Float16)));
    }

    [Fact]
    public void The_library_chooses_it_and_says_why()
    {
        _ = TunerForTests.Create();
        var chosen = BlockTuners.Choose();
        Assert.IsType<TorchBlockTuner>(chosen.Tuner);
        Assert.StartsWith("torchsharp", chosen.ToString(), StringComparison.Ordinal);
    }

    private static BlockTask Task(ModelConfig config, Grid grid)
    {
        var model = TestModels.Random(config with { LayerCount = 1 });
        var block = model.Blocks[0];
        float[][] Streams(int seed) => [.. Enumerable.Range(0, Sequences).Select(i => TestWeights.Normal(Length * config.HiddenSize, seed + i, 1))];
        var (inputs, targets) = (Streams(1), Streams(1));
        QuantizedBlock.Forward(block, targets, Length, 2, new BlockActivations(), default);
        bool[][] counted = [.. Enumerable.Range(0, Sequences).Select(i => Enumerable.Range(0, Length).Select(t => t < Length - 1 - i).ToArray())];
        return new BlockTask(config, block, model.Rotary, block.Linears.ToDictionary(linear => ModuleName.Parse(linear.Name), _ => grid), inputs, targets, counted, Length,
            new TuningRecipe("one", 1, 0.01, BatchSize: Sequences));
    }

    private static (double Loss, Dictionary<ModuleName, float[]> Gradients) Managed(BlockTask task, int[] sequences)
    {
        var block = QuantizedBlock.Copy(task.Config, task.Block, task.Rotary);
        foreach (var (linear, original) in block.Linears.Zip(task.Block.Linears))
        {
            new LearnedWeight(linear.Name, original.Weight.Values, linear.Out, linear.In, task.Grids[ModuleName.Parse(linear.Name)]).Quantize(linear.Weight.Values);
            linear.Weight.ZeroGradient();
        }
        float[] stream = [.. sequences.SelectMany(i => task.Inputs[i])];
        var kept = new BlockActivations();
        block.Forward(stream, stream, sequences.Length, task.Length, kept);
        double loss = BlockLoss.ForwardBackward(stream, task.Targets.ToArray(), task.Counted.ToArray(), task.Length, task.Config.HiddenSize);
        block.Backward(stream, kept, new BlockGradients());
        return (loss, block.Linears.ToDictionary(linear => ModuleName.Parse(linear.Name), linear => linear.Weight.Gradient!));
    }
}
