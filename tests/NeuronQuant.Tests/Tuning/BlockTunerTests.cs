using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tests.Models;
using NeuronQuant.Tuning;
using Xunit;

namespace NeuronQuant.Tests.Tuning;

/// <summary>What a tuner of blocks must do.</summary>
public class BlockTunerTests
{
    [Theory]
    [InlineData("nxd", 4)]
    [InlineData("nxd", 3)]
    [InlineData("autoround", 4)]
    [InlineData("autoround", 3)]
    public void Every_block_comes_nearer_to_its_original_than_by_rounding(string grid, int bits)
    {
        var result = Tune(TuningCase.Model(), TuningCase.Grids(Grid.Parse(grid, bits)), TuningCase.Texts(), TuningCase.Short);
        Assert.Equal(2, result.Blocks.Count);
        Assert.All(result.Blocks, block => Assert.InRange(block.TunedLoss, 0, 0.9 * block.RoundedLoss)); // It is 0.3 to 0.7 here.
        Assert.All(result.Blocks, block => Assert.Equal(7, block.Weights.Count));
        Assert.Contains("layers.1", result.ToDataFrame().ToText(), StringComparison.Ordinal);
        Assert.Contains("lm_head", result.ToString(), StringComparison.Ordinal);
        Assert.Contains("layers.1  ", result.ToChart().ToText(), StringComparison.Ordinal);
    }

    [Fact]
    public void NxDI_keeps_every_integer_of_the_nxd_grid_and_loses_some_of_the_signed_128_grid()
    {
        long Changed(Grid grid, TuningRecipe recipe)
        {
            var result = Tune(TuningCase.Model(), TuningCase.Grids(grid), TuningCase.Texts(), recipe);
            Assert.Contains(result.Blocks, block => block.BestIteration > 0);
            return result.Modules.Weights.Values.Sum(weight => SecondRounding.Replay(weight).Changed);
        }

        Assert.Equal(0, Changed(Grid.Nxd(), TuningCase.Short));
        Assert.Equal(0, Changed(Grid.Nxd(), TuningCase.Short with { Rate = 1e-3 }));
        Assert.InRange(Changed(Grid.AutoRound(), TuningCase.Short), 1, long.MaxValue);
    }

    // A model larger than memory is read a block at a time; the blocks are the same, so every code is.
    [Fact]
    public void Walking_a_checkpoint_gives_the_codes_of_the_model_in_memory()
    {
        using var folder = new TemporaryFolder();
        using (var model = TuningCase.Model()) model.Save(folder.Path, overwrite: true);
        using var loaded = LlamaModel.Load(folder.Path);
        using var checkpoint = Checkpoint.Open(folder.Path);
        Same(Tune(loaded, TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short),
            AutoRound.Tune(ModelWalk.Of(checkpoint), TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short));
    }

    [Fact]
    public void In_bfloat16_it_learns_as_well_and_NxDI_keeps_every_integer()
    {
        using var folder = new TemporaryFolder();
        using (var model = TuningCase.Model()) model.Save(folder.Path, overwrite: true);
        using var half = LlamaModel.Load(folder.Path, Placement.Parse("bfloat16", "cpu"));
        var result = Tune(half, TuningCase.Grids(Grid.Nxd(3)), TuningCase.Texts(), TuningCase.Short);
        Assert.All(result.Blocks, block => Assert.InRange(block.TunedLoss, 0, 0.9 * block.RoundedLoss));
        var eight = Tune(half, TuningCase.Grids(Grid.Nxd()), TuningCase.Texts(), TuningCase.Short);
        Assert.Equal(0, eight.Modules.Weights.Values.Sum(weight => SecondRounding.Replay(weight).Changed));
    }

    // What is learned is counted tensor by tensor; W^ and its gradient are as large as the block. 10 % are left for scales and extremes of channels.
    [Theory]
    [InlineData("float32")]
    [InlineData("bfloat16")]
    public void The_state_of_a_block_is_predicted_within_a_tenth(string type)
    {
        var place = Placement.Parse(type, "cpu");
        using var model = new LlamaModel(TuningCase.Model().Config with { HiddenSize = 128, IntermediateSize = 256 }, place);
        long learned = 0, block = 0;
        foreach (var linear in model.Blocks[0].Linears)
        {
            using var weight = new LearnedWeight(linear.Name, linear.Weight.Tensor, Grid.Nxd());
            TorchSharp.torch.Tensor[] held = [weight.Offsets, weight.Alpha, weight.Beta, weight.Best.Codes, weight.Best.Scales, .. type == "float32" ? Array.Empty<TorchSharp.torch.Tensor>() : [weight.Weight]];
            learned += held.Sum(one => one.numel() * one.element_size()); // A float32 original is shared.
            block += linear.Weight.Tensor.numel() * place.Bytes;
        }
        var predicted = TuningMemory.Of(model.Config, place, TuningCase.Short);
        Assert.InRange(predicted.State, 0.9 * (learned + 2 * block), 1.1 * (learned + 2 * block));
        Assert.Equal(block, predicted.Block);
        Assert.True(predicted.Host > predicted.Device && predicted.Device > predicted.State);
        Assert.Contains("state of a block", predicted.ToDataFrame().ToText(), StringComparison.Ordinal);
    }

    [Fact]
    public void The_tuned_model_is_nearer_to_the_original_than_the_rounded_one()
    {
        var (original, rounded, tuned) = (TuningCase.Model(), TuningCase.Model(), TuningCase.Model());
        var result = Tune(original, TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short);
        result.ApplyTo(tuned);
        foreach (var linear in rounded.Blocks.SelectMany(block => block.Linears))
            linear.Apply(RoundToNearest.Quantize(linear.ToWeightMatrix(), Grid.Nxd(4)));
        var batch = TokenBatch.Of([.. TuningCase.Texts().Tokens]);
        float[] expected = original.Logits(batch).ToFloats();
        double Distance(LlamaModel model) => model.Logits(batch).ToFloats().Zip(expected, (a, b) => (double)(a - b) * (a - b)).Sum();
        Assert.InRange(Distance(tuned), 0, 0.8 * Distance(rounded));
    }

    [Fact]
    public void Codes_of_a_model_with_more_layers_are_refused_and_change_nothing()
    {
        var result = Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short with { Iterations = 1 });
        using var shorter = new LlamaModel(TuningCase.Model().Config with { LayerCount = 1 });
        Assert.Contains("layers.1.", Assert.Throws<ModelException>(() => result.ApplyTo(shorter)).Message, StringComparison.Ordinal);
        Assert.All(shorter.Parameters, parameter => Assert.All(parameter.ToArray(), value => Assert.Equal(0, value)));
    }

    [Fact]
    public void Kept_modules_stay_float_and_widths_may_differ_by_module()
    {
        var (q, down) = (new ModuleName(0, "self_attn.q_proj"), new ModuleName(1, "mlp.down_proj"));
        var plan = TuningCase.Plan("layers.0.mlp", "layers.1.self_attn");
        var grids = new Dictionary<ModuleName, Grid>(TuningGrids.Of(plan)) { [q] = Grid.Nxd(4) };
        var result = Tune(TuningCase.Model(), grids, TuningCase.Texts(), TuningCase.Short with { Iterations = 3 });
        Assert.Equal(4 + 3, result.Modules.Weights.Count);
        Assert.Equal((4, 8), (result.Modules.Weights[q].Grid.Bits, result.Modules.Weights[down].Grid.Bits));
        Assert.InRange(result.Modules.Weights[q].Integers.ToArray().Max(code => Math.Abs((int)code)), 1, 7);
    }

    [Fact]
    public void A_resumed_run_ends_with_the_same_bits()
    {
        using var folder = new TemporaryFolder();
        using var cancel = new CancellationTokenSource();
        var whole = Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short);
        Assert.Throws<OperationCanceledException>(() => Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short, stateFolder: folder.Path,
            progress: step => { if (step is { Layer: 1, Iteration: 5 }) cancel.Cancel(); }, cancellation: cancel.Token));
        int first = -1;
        var resumed = Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short, stateFolder: folder.Path, progress: step => first = first < 0 ? step.Layer : first);
        Assert.Equal(1, first);
        Same(whole, resumed);
        Same(whole, Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short, stateFolder: folder.Path, progress: _ => Assert.Fail("nothing was left to tune")));
    }

    [Fact]
    public void A_task_that_cannot_be_learned_is_refused_by_name()
    {
        var broken = TuningCase.Model();
        broken.Blocks[0]["mlp.up_proj"].Weight.Values[3] = float.NaN;
        Assert.Contains("up_proj.weight: row 0 ", Assert.Throws<TuningException>(() => Tune(broken, TuningCase.Grids(Grid.Nxd()), TuningCase.Texts(), TuningCase.Short)).Message, StringComparison.Ordinal);
        Assert.Throws<TuningException>(() => Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(4).InGroups(32)), TuningCase.Texts(), TuningCase.Short));
        Assert.Throws<TuningException>(() => Tune(TuningCase.Model(), TuningCase.Grids(Grid.Half()), TuningCase.Texts(), TuningCase.Short));
    }

    // A loss of the reader's own is given whole sequences, padding and all.
    [Theory]
    [InlineData(8)]
    [InlineData(1)]
    public void Padding_is_not_computed_and_no_loss_changes_by_it(int batch)
    {
        var texts = CalibrationSet.Of(Enumerable.Range(0, 16).Select(i => TestModels.Tokens(3 + 5 * i % 13, i)), 40, padding: 0);
        BlockTuning Tuned(TuningLoss? loss) => AutoRound.Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(4)), texts,
            TuningCase.Short with { Iterations = 6, BatchSize = batch, SequenceLength = 40 }, new TuningRules(Loss: loss)).Blocks[0];
        var (ours, whole) = (Tuned(null), Tuned((output, target, mask) =>
        {
            Assert.Equal(40, output.shape[1]);
            return LearnedRounding.MaskedSquares(output, target, mask);
        }));
        Assert.Equal(whole.RoundedLoss, ours.RoundedLoss, 1e-5 * whole.RoundedLoss);
        Assert.All(whole.Losses.Zip(ours.Losses), pair => Assert.Equal(pair.First, pair.Second, 1e-3 * pair.First));
    }

    [Theory]
    [InlineData("nxd", "float32")]
    [InlineData("autoround", "bfloat16")]
    public void The_visible_formulas_as_rules_of_the_readers_own_give_the_same_integers(string grid, string type)
    {
        using var folder = new TemporaryFolder();
        using (var saved = TuningCase.Model()) saved.Save(folder.Path, overwrite: true);
        using var model = LlamaModel.Load(folder.Path, Placement.Parse(type, "cpu"));
        TuningResult Tuned(TuningRules? rules) => AutoRound.Tune(model, TuningCase.Grids(Grid.Parse(grid, 4)), TuningCase.Texts(), TuningCase.Short, rules);
        var own = Tuned(null);
        Same(own, Tuned(new TuningRules(Rounding: LearnedRounding.Round, Update: LearnedRounding.SignedStep)));
        Same(own, Tuned(new TuningRules(Update: (parameter, gradient, rate) => parameter.sub_(gradient.sign() * rate))));
        Same(own, Tuned(new TuningRules(Rounding: (weight, offsets, alpha, beta, on) => LearnedRounding.Round(weight, offsets, alpha, beta, on))));
    }

    // What is learned of the first block: q, k and v are one weight, gate and up are one, o and down for themselves.
    [Fact]
    public void An_update_of_the_readers_own_may_remember_each_parameter()
    {
        var (seen, threads) = (new Dictionary<TorchSharp.torch.Tensor, int>(ReferenceEqualityComparer.Instance), new HashSet<int>());
        var recipe = TuningCase.Short with { Iterations = 4 };
        var still = AutoRound.Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd()), TuningCase.Texts(), recipe, new TuningRules(Update: (parameter, gradient, rate) =>
        {
            Assert.Equal(parameter.shape, gradient.shape);
            seen[parameter] = seen.GetValueOrDefault(parameter) + 1;
            threads.Add(Environment.CurrentManagedThreadId);
        }));
        Assert.Equal(2 * 4 * 3, seen.Count);
        Assert.All(seen.Values, times => Assert.Equal(4, times));
        Assert.Single(threads);
        foreach (var linear in TuningCase.Model().Blocks.SelectMany(block => block.Linears)) // Nothing moved, so every code is the nearest.
            Assert.Equal(FakeQuantization.Exact(linear.ToWeightMatrix(), Grid.Nxd()).Codes, still.Modules.Weights[linear.Module].Codes);
    }

    [Fact]
    public void A_rounding_of_the_readers_own_that_gives_no_codes_is_refused_by_name()
    {
        void Refused(string why, TuningRounding rounding)
        {
            string message = Assert.Throws<TuningException>(() => AutoRound.Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short, new TuningRules(Rounding: rounding))).Message;
            Assert.StartsWith("model.layers.0.", message, StringComparison.Ordinal);
            Assert.Contains(why, message, StringComparison.Ordinal);
        }

        Refused("no integers from -7 to 7", (weight, offsets, alpha, beta, grid) => (weight + offsets, alpha));
        Refused("nothing that depends on", (weight, offsets, alpha, beta, grid) => (weight.round(), alpha.detach()));
        Refused("scales [", (weight, offsets, alpha, beta, grid) => (offsets, alpha.squeeze(1)));
    }

    private static TuningResult Tune(
        LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, CalibrationSet calibration, TuningRecipe recipe, string? stateFolder = null,
        Action<TuningStep>? progress = null, CancellationToken cancellation = default) =>
        AutoRound.Tune(model, grids, calibration, recipe, null, stateFolder, progress, cancellation);

    private static void Same(TuningResult expected, TuningResult actual)
    {
        foreach (var (a, b) in expected.Blocks.Zip(actual.Blocks))
        {
            Assert.Equal(a.Losses, b.Losses);
            Assert.Equal((a.BestIteration, a.RoundedLoss, a.TunedLoss), (b.BestIteration, b.RoundedLoss, b.TunedLoss));
            foreach (var (module, weight) in a.Weights)
            {
                Assert.Equal(weight.Codes, b.Weights[module].Codes);
                Assert.Equal(weight.Scales, b.Weights[module].Scales);
            }
        }
    }
}
