using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;
using NeuronQuant.Tuning;
using Xunit;

namespace NeuronQuant.Tests.Tuning;

public class AutoRoundTests
{
    [Fact]
    public void A_state_of_another_run_is_refused_by_the_name_of_what_differs()
    {
        using var folder = new TemporaryFolder();
        AutoRound.Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short with { Iterations = 2 }, stateFolder: folder.Path);
        Refused("recipe", () => AutoRound.Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short, stateFolder: folder.Path));
        Refused("plan", () => AutoRound.Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(3)), TuningCase.Texts(), TuningCase.Short with { Iterations = 2 }, stateFolder: folder.Path));
        Refused("calibration", () => AutoRound.Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(9), TuningCase.Short with { Iterations = 2 }, stateFolder: folder.Path));
        var changed = TuningCase.Model();
        changed.Blocks[1]["mlp.down_proj"].Weight.Values[7] += 1e-4f;
        Refused("source", () => AutoRound.Tune(changed, TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short with { Iterations = 2 }, stateFolder: folder.Path));

        using var other = new TemporaryFolder();
        AutoRound.Tune(changed, TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short with { Iterations = 2 }, stateFolder: other.Path);
        File.Copy(Path.Combine(other.Path, "layers.1", "model.safetensors"), Path.Combine(folder.Path, "layers.1", "model.safetensors"), overwrite: true);
        Refused("block of another run", () => AutoRound.Tune(TuningCase.Model(), TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short with { Iterations = 2 }, stateFolder: folder.Path));
        File.WriteAllText(Path.Combine(other.Path, "tuning.txt"), "{}");
        Refused("is not the key", () => AutoRound.Tune(changed, TuningCase.Grids(Grid.Nxd(4)), TuningCase.Texts(), TuningCase.Short with { Iterations = 2 }, stateFolder: other.Path));
    }

    [Fact]
    public void Plans_and_grids_that_cannot_be_tuned_are_refused()
    {
        Assert.Throws<TuningException>(() => TuningGrids.Of(QuantizationPlan.Create(TuningCase.Modules, false, Format.F8E4M3, Granularity.PerChannelSymmetric, [])));
        Assert.Throws<TuningException>(() => TuningGrids.Of(TuningCase.Plan("self_attn", "mlp")));
        Assert.Throws<TuningException>(() => AutoRound.Tune(TuningCase.Model(), TuningCase.Grids(Grid.Half()), TuningCase.Texts(), TuningCase.Short));
        Assert.Throws<TuningException>(() => AutoRound.Tune(TuningCase.Model(), new Dictionary<ModuleName, Grid> { [new(7, "mlp.up_proj")] = Grid.Nxd() }, TuningCase.Texts(), TuningCase.Short));
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
        var asked = CalibrationSet.Of([[1, 2, 3, 4], [4, 5, 6], [7, 8, 9]], TuningCase.Short with { Samples = 2, SequenceLength = 3 });
        Assert.Equal((2, 3), (asked.Count, asked.Length));
    }

    [Fact]
    public void Batches_go_through_all_samples_before_any_comes_again()
    {
        foreach (int[][] round in Minibatches.Of(10, 4, 1).Take(10).Chunk(2))
            Assert.Equal(8, round.SelectMany(batch => batch).Distinct().Count()); // Two are left over, fewer than a batch: shuffled again.
        Assert.Equal([0, 1, 2], Minibatches.Of(3, 3, 1).First().Order());
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

    private static void Refused(string part, Action run) => Assert.Contains(part, Assert.Throws<TuningException>(run).Message, StringComparison.Ordinal);
}
