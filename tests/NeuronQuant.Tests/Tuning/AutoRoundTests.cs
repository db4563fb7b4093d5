using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Models;
using NeuronQuant.Tuning;
using Xunit;

namespace NeuronQuant.Tests.Tuning;

public class AutoRoundTests
{
    private static readonly TuningRecipe Short = new("short", 40, 0.01, Samples: 16, BatchSize: 8, SequenceLength: 12);

    [Theory]
    [InlineData("nxd", 4)]
    [InlineData("nxd", 3)]
    [InlineData("autoround", 4)]
    [InlineData("autoround", 3)]
    public void Every_block_comes_nearer_to_its_original_than_by_rounding(string grid, int bits)
    {
        var result = AutoRound.Tune(Model(), Grids(Grid.Parse(grid, bits)), Texts(), Short);
        Assert.Equal(2, result.Blocks.Count);
        Assert.All(result.Blocks, block => Assert.InRange(block.TunedLoss, 0, 0.9 * block.RoundedLoss)); // It is 0.3 to 0.7 here.
        Assert.All(result.Blocks, block => Assert.Equal(7, block.Weights.Count));
        Assert.Contains("layers.1", result.ToTable().ToString(), StringComparison.Ordinal);
        Assert.Contains("lm_head", result.ToString(), StringComparison.Ordinal);
        Assert.Equal(2, result.ToFigure().Lines.Count);
    }

    [Fact]
    public void NxDI_keeps_every_integer_of_the_nxd_grid_and_loses_some_of_the_signed_128_grid()
    {
        long Changed(Grid grid, TuningRecipe recipe)
        {
            var result = AutoRound.Tune(Model(), Grids(grid), Texts(), recipe);
            Assert.Contains(result.Blocks, block => block.BestIteration > 0);
            return result.Modules.Weights.Values.Sum(weight => SecondRounding.Replay(weight).Changed);
        }

        Assert.Equal(0, Changed(Grid.Nxd(), Short));
        Assert.Equal(0, Changed(Grid.Nxd(), Short with { Rate = 1e-3 }));
        Assert.InRange(Changed(Grid.AutoRound(), Short), 1, long.MaxValue);
    }

    [Fact]
    public void The_tuned_model_is_nearer_to_the_original_than_the_rounded_one()
    {
        var (original, rounded, tuned) = (Model(), Model(), Model());
        var result = AutoRound.Tune(original, Grids(Grid.Nxd(4)), Texts(), Short);
        result.ApplyTo(tuned);
        foreach (var linear in rounded.Blocks.SelectMany(block => block.Linears))
            QuantizedBlock.Apply(linear, RoundToNearest.Quantize(WeightMatrix.Of(linear.Name, linear.Weight.Values, linear.Out, linear.In), Grid.Nxd(4)));
        var batch = TokenBatch.Of([.. Texts().Tokens]);
        float[] expected = new ModelPass(original).Logits(batch);
        double Distance(LlamaModel model) => new ModelPass(model).Logits(batch).Zip(expected, (a, b) => (double)(a - b) * (a - b)).Sum();
        Assert.InRange(Distance(tuned), 0, 0.8 * Distance(rounded));
    }

    [Fact]
    public void The_state_of_a_block_stays_below_three_times_its_float_weights()
    {
        var config = TestModels.Config() with { HiddenSize = 256, IntermediateSize = 704, HeadSize = 64, LayerCount = 1 };
        var model = TestModels.Random(config);
        float[][] inputs = [TestWeights.Normal(4 * 256, 1, 1)];
        var grids = model.Blocks[0].Linears.ToDictionary(linear => ModuleName.Parse(linear.Name), _ => Grid.Nxd());
        var task = new BlockTask(config, model.Blocks[0], model.Rotary, grids, inputs, inputs, [[true, true, true, true]], 4, Short with { Iterations = 2, BatchSize = 1 });
        new ManagedBlockTuner().Tune(task); // The kernels' own buffers are kept for the thread.
        long before = GC.GetAllocatedBytesForCurrentThread();
        new ManagedBlockTuner().Tune(task);
        long weights = sizeof(float) * model.Blocks[0].Linears.Sum(linear => (long)linear.Weight.Values.Length);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, weights, 3 * weights); // 2.6 times, activations of four tokens included.
    }

    [Fact]
    public void Kept_modules_stay_float_and_widths_may_differ_by_module()
    {
        var (q, down) = (new ModuleName(0, "self_attn.q_proj"), new ModuleName(1, "mlp.down_proj"));
        var plan = Plan("layers.0.mlp", "layers.1.self_attn");
        var grids = TuningGrids.Of(plan, Grid.Nxd(), new Dictionary<ModuleName, int> { [q] = 4 });
        var result = AutoRound.Tune(Model(), grids, Texts(), Short with { Iterations = 3 });
        Assert.Equal(4 + 3, result.Modules.Weights.Count);
        Assert.Equal((4, 8), (result.Modules.Weights[q].Grid.Bits, result.Modules.Weights[down].Grid.Bits));
        Assert.InRange(result.Modules.Weights[q].Integers.ToArray().Max(code => Math.Abs((int)code)), 1, 7);
        Assert.Throws<TuningException>(() => TuningGrids.Of(plan, bits: new Dictionary<ModuleName, int> { [new(0, "mlp.up_proj")] = 4 }));
    }

    [Fact]
    public void A_resumed_run_ends_with_the_same_bits()
    {
        using var folder = new TemporaryFolder();
        using var cancel = new CancellationTokenSource();
        var whole = AutoRound.Tune(Model(), Grids(Grid.Nxd(4)), Texts(), Short);
        Assert.Throws<OperationCanceledException>(() => AutoRound.Tune(Model(), Grids(Grid.Nxd(4)), Texts(), Short, stateFolder: folder.Path,
            progress: step => { if (step is { Layer: 1, Iteration: 5 }) cancel.Cancel(); }, cancellation: cancel.Token));
        int first = -1;
        var resumed = AutoRound.Tune(Model(), Grids(Grid.Nxd(4)), Texts(), Short, stateFolder: folder.Path, progress: step => first = first < 0 ? step.Layer : first);
        Assert.Equal(1, first);
        Same(whole, resumed);
        Same(whole, AutoRound.Tune(Model(), Grids(Grid.Nxd(4)), Texts(), Short, stateFolder: folder.Path, progress: _ => Assert.Fail("nothing was left to tune")));
    }

    [Fact]
    public void A_state_of_another_run_is_refused_by_the_name_of_what_differs()
    {
        using var folder = new TemporaryFolder();
        AutoRound.Tune(Model(), Grids(Grid.Nxd(4)), Texts(), Short with { Iterations = 2 }, stateFolder: folder.Path);
        Refused("recipe", () => AutoRound.Tune(Model(), Grids(Grid.Nxd(4)), Texts(), Short, stateFolder: folder.Path));
        Refused("plan", () => AutoRound.Tune(Model(), Grids(Grid.Nxd(3)), Texts(), Short with { Iterations = 2 }, stateFolder: folder.Path));
        Refused("calibration", () => AutoRound.Tune(Model(), Grids(Grid.Nxd(4)), Texts(9), Short with { Iterations = 2 }, stateFolder: folder.Path));
        var changed = Model();
        changed.Blocks[1].Down.Weight.Values[7] += 1e-4f;
        Refused("source", () => AutoRound.Tune(changed, Grids(Grid.Nxd(4)), Texts(), Short with { Iterations = 2 }, stateFolder: folder.Path));

        using var other = new TemporaryFolder();
        AutoRound.Tune(changed, Grids(Grid.Nxd(4)), Texts(), Short with { Iterations = 2 }, stateFolder: other.Path);
        File.Copy(Path.Combine(other.Path, "layers.1", "model.safetensors"), Path.Combine(folder.Path, "layers.1", "model.safetensors"), overwrite: true);
        Refused("block of another run", () => AutoRound.Tune(Model(), Grids(Grid.Nxd(4)), Texts(), Short with { Iterations = 2 }, stateFolder: folder.Path));
    }

    [Fact]
    public void Plans_and_grids_that_cannot_be_tuned_are_refused()
    {
        Assert.Throws<TuningException>(() => TuningGrids.Of(QuantizationPlan.Create(Modules, false, Format.F8E4M3, Granularity.PerChannelSymmetric, [])));
        Assert.Throws<TuningException>(() => TuningGrids.Of(Plan("self_attn", "mlp")));
        Assert.Throws<TuningException>(() => AutoRound.Tune(Model(), Grids(Grid.Half()), Texts(), Short));
        Assert.Throws<TuningException>(() => AutoRound.Tune(Model(), new Dictionary<ModuleName, Grid> { [new(7, "mlp.up_proj")] = Grid.Nxd() }, Texts(), Short));
    }

    [Fact]
    public void Calibration_masks_the_last_position_runs_and_padding_and_drops_what_is_too_short()
    {
        var set = CalibrationSet.Of([[1, 2, 3, 4, 5, 6], [1, 2], [7, 7, 7, 7], [1, 2, 5, 5]], length: 4);
        Assert.Equal([[1, 2, 3, 4], [1, 2, 5, 5]], set.Tokens);
        Assert.Equal([[true, true, true, false], [true, true, false, false]], set.Counted);
        var padded = CalibrationSet.Of([[1, 2, 3], [4, 4, 4, 1, 1]], length: 5, padding: 0);
        Assert.Equal([1, 2, 3, 0, 0], padded.Tokens[0]);
        Assert.Equal([[true, true, false, false, false], [true, true, true, false, false]], padded.Counted);
        Assert.Throws<TuningException>(() => CalibrationSet.Of([[1, 2]], length: 4));
        var asked = CalibrationSet.Of([[1, 2, 3, 4], [4, 5, 6], [7, 8, 9]], Short with { Samples = 2, SequenceLength = 3 });
        Assert.Equal((2, 3), (asked.Count, asked.Length));
    }

    [Fact]
    public void Batches_go_through_all_samples_before_any_comes_again()
    {
        var sampler = new IndexSampler(10, 4, 1);
        for (int round = 0; round < 5; round++)
        {
            int[] eight = [.. sampler.Next(), .. sampler.Next()];
            Assert.Equal(8, eight.Distinct().Count()); // Two are left over, fewer than a batch: shuffled again.
        }
        Assert.Equal(3, new IndexSampler(3, 8, 1).Next().Length);
    }

    [Fact]
    public void Recipes_are_those_of_auto_round()
    {
        Assert.Equal(1.0 / 200, TuningRecipe.Parse("default").RateAt(0, 8), 1e-12);
        Assert.Equal(0.5025, Enumerable.Range(0, 200).Sum(t => TuningRecipe.Default.RateAt(t, 4)), 1e-9);
        Assert.Equal(0.1275, Enumerable.Range(0, 50).Sum(t => TuningRecipe.Light.RateAt(t, 4)), 1e-9);
        Assert.Equal((1.0 / 1000, 2.0 / 1000), (TuningRecipe.Best.RateAt(0, 4), TuningRecipe.Best.RateAt(0, 3)));
        Assert.Throws<ArgumentException>(() => TuningRecipe.Parse("fast"));
    }

    private static readonly ModuleName[] Modules = [.. Enumerable.Range(0, 2).SelectMany(layer => ModuleName.LinearTypes.Select(type => new ModuleName(layer, type)))];

    private static LlamaModel Model() => TestModels.Random(TestModels.Config());

    private static CalibrationSet Texts(int seed = 1) => CalibrationSet.Of(Enumerable.Range(0, 16).Select(i => TestModels.Tokens(12, seed + i)), 12);

    private static QuantizationPlan Plan(params string[] entries) => QuantizationPlan.Create(Modules, false, Format.Int8, Granularity.PerChannelSymmetric, entries);

    private static IReadOnlyDictionary<ModuleName, Grid> Grids(Grid grid) => TuningGrids.Of(Plan(), grid);

    private static void Refused(string part, Action run) => Assert.Contains(part, Assert.Throws<TuningException>(run).Message, StringComparison.Ordinal);

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
