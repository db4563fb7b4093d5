using NeuronQuant.Models;
using NeuronQuant.Tensors;
using NeuronQuant.Tests.Checkpoints;
using static TorchSharp.torch;
using Xunit;

namespace NeuronQuant.Tests.Models;

/// <summary>Training learns, twice the same, and stops when told.</summary>
public class TrainerTests
{
    private static readonly TokenBatch Batch = TokenBatch.Of([TestModels.Tokens(12, 1), TestModels.Tokens(9, 2), TestModels.Tokens(7, 3)]);

    [Fact]
    public void A_tiny_batch_is_learnt_by_heart()
    {
        var losses = new List<double>();
        Trainer.Run(Fresh(), Enumerable.Repeat(Batch, 1000), new TrainingPlan(150, 0.02, 10), step => losses.Add(step.Loss));
        Assert.Equal(150, losses.Count);
        Assert.InRange(losses[0], 3.4, 3.8); // ln 37 = 3.61: at first all tokens are equally likely.
        Assert.InRange(losses[^1], 0, 0.05);
    }

    [Fact]
    public void Training_twice_gives_identical_bytes()
    {
        LlamaModel first = Fresh(), second = Fresh();
        Trainer.Run(first, Enumerable.Repeat(Batch, 20), new TrainingPlan(20, 0.02, 10));
        Trainer.Run(second, Enumerable.Repeat(Batch, 20), new TrainingPlan(20, 0.02, 10));
        foreach (var (a, b) in first.Parameters.Zip(second.Parameters)) Assert.Equal(a.ToArray(), b.ToArray());
    }

    // Each step moves a weight by 1e-5. A bfloat16 weight above 0.004 has steps of at least 3e-5, and would never move.
    [Fact]
    public void A_bfloat16_model_keeps_updates_that_its_own_weights_cannot_hold()
    {
        LlamaModel wide = Fresh(), narrow = new(wide.Config, Placement.Of(ScalarType.BFloat16));
        Initialization.Fill(narrow, seed: 7);
        float[] before = narrow.Blocks[0]["mlp.up_proj"].Weight.ToArray();
        foreach (var model in new[] { wide, narrow }) Trainer.Run(model, Enumerable.Repeat(Batch, 100), new TrainingPlan(100, 1e-5, 1, 1, 0));
        float[] expected = wide.Blocks[0]["mlp.up_proj"].Weight.ToArray(), after = narrow.Blocks[0]["mlp.up_proj"].Weight.ToArray();
        double moved = before.Zip(expected, (a, b) => Math.Abs(b - a)).Average(), apart = after.Zip(expected, (a, b) => Math.Abs(b - a)).Average();
        Assert.InRange(moved, 2e-4, 1e-3);
        Assert.InRange(apart, 0, 0.3 * moved);
    }

    [Fact]
    public void A_saved_model_is_the_model_rounded_to_bf16()
    {
        using var files = new TestFiles();
        var model = Fresh();
        model.Save(files.Folder);
        var loaded = LlamaModel.Load(files.Folder);
        var config = model.Config with { File = loaded.Config.File, WeightType = loaded.Config.WeightType, EndTokenIds = loaded.Config.EndTokenIds };
        Assert.Equal(config, loaded.Config);
        foreach (var (a, b) in model.Parameters.Zip(loaded.Parameters))
            Assert.Equal(a.ToArray().Select(NeuronQuant.Formats.BFloat16.Round), b.ToArray());
    }

    [Fact]
    public void A_cancelled_training_stops_before_the_next_step()
    {
        using var cancellation = new CancellationTokenSource();
        int steps = 0;
        Assert.Throws<OperationCanceledException>(() => Trainer.Run(Fresh(), Enumerable.Repeat(Batch, 9), new TrainingPlan(9), _ =>
        {
            steps++;
            cancellation.Cancel();
        }, cancellation.Token));
        Assert.Equal(1, steps);
    }

    [Fact]
    public void A_batch_without_targets_and_a_loss_that_overflows_are_errors()
    {
        var masked = TokenBatch.Of([[1, 2]], counts: (_, _) => false);
        Assert.Contains("loss mask", Assert.Throws<ModelException>(() => Trainer.Run(Fresh(), [masked], new TrainingPlan(1))).Message);
        var broken = Fresh();
        broken.Norm.Values[0] = float.NaN;
        Assert.Contains("learning rate", Assert.Throws<ModelException>(() => Trainer.Run(broken, [Batch], new TrainingPlan(1))).Message);
    }

    [Fact]
    public void The_rate_warms_up_and_falls_along_a_cosine()
    {
        var plan = new TrainingPlan(110, 1, 10, 0.1);
        Assert.Equal(0.1, plan.RateAt(0), 1e-12);
        Assert.Equal(1, plan.RateAt(10), 1e-12);
        Assert.Equal(0.55, plan.RateAt(60), 1e-12);
        Assert.Equal(0.1, plan.RateAt(110), 1e-12);
    }

    private static LlamaModel Fresh()
    {
        var model = new LlamaModel(TestModels.Config(tied: true));
        Initialization.Fill(model, seed: 7);
        return model;
    }
}
