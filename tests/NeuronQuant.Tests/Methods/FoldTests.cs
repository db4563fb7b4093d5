using NeuronQuant.Checkpoints;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tests.Models;
using NeuronQuant.Tuning;
using TorchSharp;
using Xunit;

namespace NeuronQuant.Tests.Methods;

/// <summary>
/// Folds leave the logits alone: in float64, on models with biases, tied heads, and fewer key heads than query heads whose widths are not the
/// hidden size. Each fault of a published tool stands beside it, with the error that it makes.
/// </summary>
public class FoldTests
{
    private const double Exact = 1e-5; // Of logits of about 10; float64 gives 1e-13.

    public static TheoryData<string, ModelFamily, bool> Cases()
    {
        var cases = new TheoryData<string, ModelFamily, bool>();
        foreach (string name in new[] { "awq", "awq-duo", "awq-grouped", "smoothquant" })
            foreach (var family in new[] { ModelFamily.Llama, ModelFamily.Qwen2, ModelFamily.Qwen3 })
                foreach (bool tied in new[] { false, true })
                    cases.Add(name, family, tied);
        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_transform_leaves_the_logits_alone_and_changes_weights(string name, ModelFamily family, bool tied)
    {
        var model = FoldCase.Model(family, tied);
        var transform = Transform(name);
        var folded = transform.Fold(model, FoldCase.Grids(model), FoldCase.Input());
        Assert.InRange(FoldCase.Difference(model, folded.Model), 0, Exact);
        Assert.NotEmpty(folded.Folds);
        Assert.NotEqual(model.Blocks[0]["self_attn.q_proj"].Weight.ToArray(), folded.Model.Blocks[0]["self_attn.q_proj"].Weight.ToArray());
        Assert.Equal(tied, folded.Model.Config.TieWordEmbeddings);
    }

    [Fact]
    public void V_folds_into_o_by_blocks_of_a_head_and_with_its_bias()
    {
        var model = FoldCase.Model(ModelFamily.Qwen2, false);
        double[] s = [.. Enumerable.Range(0, 12).Select(i => 0.5 + i / 8.0)];
        var good = model.Copy();
        Folds.IntoRows(good.Blocks[0]["self_attn.v_proj"], good.Blocks[0]["self_attn.o_proj"], s, model.Config);
        Assert.InRange(FoldCase.Difference(model, good), 0, Exact);

        // As tiles, heads get each other's scales.
        var tiled = good.Copy();
        var columns = torch.tensor((double[])[.. s, .. s]) / torch.tensor(Folds.PerQueryHead(s, model.Config));
        tiled.Blocks[0]["self_attn.o_proj"].Weight.Tensor.mul_(columns);
        Assert.InRange(FoldCase.Difference(model, tiled), 0.1, 100);

        // The bias of v forgotten.
        var forgotten = good.Copy();
        forgotten.Blocks[0]["self_attn.v_proj"].Bias!.Tensor.copy_(model.Blocks[0]["self_attn.v_proj"].Bias!.Tensor);
        Assert.InRange(FoldCase.Difference(model, forgotten), 0.1, 100);
    }

    [Fact]
    public void O_with_its_full_vector_and_v_with_the_mean_is_another_function()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        double[] wanted = [.. Enumerable.Range(0, 24).Select(i => 0.5 + i / 8.0)];
        var shared = model.Copy();
        Folds.IntoRows(shared.Blocks[0]["self_attn.v_proj"], shared.Blocks[0]["self_attn.o_proj"], Folds.MeanOverGroups(wanted, model.Config),
            model.Config);
        Assert.InRange(FoldCase.Difference(model, shared), 0, Exact);
        shared.Blocks[0]["self_attn.o_proj"].Weight.Tensor.copy_(model.Blocks[0]["self_attn.o_proj"].Weight.Tensor * torch.tensor(wanted));
        Assert.InRange(FoldCase.Difference(model, shared), 0.1, 100);
    }

    [Fact]
    public void The_mean_over_a_group_is_over_query_heads_of_one_key_head()
    {
        var config = TestModels.Config(); // Four query heads, two key heads, of six.
        double[] wanted = [.. Enumerable.Range(0, 24).Select(i => (double)i)];
        double[] mean = Folds.MeanOverGroups(wanted, config);
        Assert.Equal([3, 4, 5, 6, 7, 8, 15, 16, 17, 18, 19, 20], mean);
        Assert.Equal([.. mean[..6], .. mean[..6], .. mean[6..], .. mean[6..]], Folds.PerQueryHead(mean, config));
    }

    [Fact]
    public void A_fold_that_cannot_be_undone_is_refused()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        double[] zero = new double[20];
        var block = model.Blocks[0];
        Assert.Throws<ModelException>(() => Folds.IntoNorm(block.InputNorm, [block["self_attn.q_proj"]], zero));
        Assert.Throws<ModelException>(() => Folds.IntoNorm(block.InputNorm, [block["self_attn.q_proj"]], [1, 2]));
    }

    [Fact]
    public void SmoothQuant_makes_activations_and_weights_alike()
    {
        // facts: max|x| = (10, 0.1), max|w| = 1, alpha 0.5.
        double[] s = SmoothQuant.Scales([10, 0.1], [1, 1], 0.5);
        Assert.Equal(3.1623, s[0], 1e-4);
        Assert.Equal(0.31623, s[1], 1e-5);
        Assert.Equal([10 / s[0], 0.1 / s[1]], s.Select(value => value * 1), (a, b) => Math.Abs(a - b) < 1e-12);
        Assert.Equal([1.0, 1.0], SmoothQuant.Scales([0, 5], [3, 0], 0.5));
    }

    [Fact]
    public void AWQ_scales_are_those_of_the_paper_s_code()
    {
        double[] s = AwqOptions.Default.Scales([1, 4, 0.25], [], 0.5);
        Assert.Equal([1.0, 2, 0.5], s, (a, b) => Math.Abs(a - b) < 1e-12);
        Assert.Equal([1.0, 1, 1], AwqOptions.Default.Scales([1, 4, 0.25], [], 0));
        Assert.DoesNotContain(1.0, AwqOptions.Default.Ratios);
        Assert.Equal((20, (double?)null, 1.0), (new AwqOptions(DuoScaling: true).Ratios.Count, new AwqOptions(DuoScaling: true).Ratios[0],
            new AwqOptions(DuoScaling: true).Ratios[^1]));
        Assert.All(AwqOptions.Default.Scales([0, 1e30, 3], [], 0.95), value => Assert.True(value > 0 && double.IsFinite(value)));
    }

    private static IModelTransform Transform(string name) => name == "awq-grouped" ? new Awq(new AwqOptions(GroupedHeads: true))
        : (IModelTransform)MethodRegistry.Parse(name).Method;
}

/// <summary>Small models in float64, and how far two of them are apart.</summary>
internal static class FoldCase
{
    public static LlamaModel Model(ModelFamily family, bool tied, bool outputBiases = false)
    {
        var config = TestModels.Config(family, tied) with { HasOutputBias = outputBiases, HasMlpBias = outputBiases };
        var single = TestModels.Random(config);
        var model = new LlamaModel(config, Placement.Of(torch.ScalarType.Float64));
        foreach (var (target, source) in model.Parameters.Zip(single.Parameters)) target.Set(source.ToArray());
        return model;
    }

    public static MethodInput Input() => new(CalibrationSet.Of(Enumerable.Range(0, 8).Select(i => TestModels.Tokens(12, i)), 12));

    public static IReadOnlyDictionary<ModuleName, Grid> Grids(LlamaModel model, int bits = 4) => ModelGrids.Of(model.Config, Grid.Nxd(bits));

    public static double Difference(LlamaModel first, LlamaModel second)
    {
        var batch = new TokenBatch([.. TestModels.Tokens(18, 5), .. TestModels.Tokens(18, 6)], [], 2);
        using torch.Tensor a = first.Logits(batch), b = second.Logits(batch);
        return (a - b).abs().max().item<double>();
    }
}
