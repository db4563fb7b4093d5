using NeuronQuant.Checkpoints;
using NeuronQuant.Evaluation;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tests.Models;
using Xunit;

namespace NeuronQuant.Tests.Methods;

/// <summary>Scales of the cache leave the logits alone, and bring keys and values into the range; a scale that splits a pair does not.</summary>
public class CacheScalesTests
{
    private const double Exact = 1e-5; // Of logits of about 10; float64 gives 1e-13.

    [Theory]
    [InlineData(ModelFamily.Llama, false)]
    [InlineData(ModelFamily.Llama, true)]
    [InlineData(ModelFamily.Qwen2, false)]
    [InlineData(ModelFamily.Qwen3, false)]
    public void Logits_stay_and_ranges_end_below_the_target(ModelFamily family, bool tied)
    {
        var model = FoldCase.Model(family, tied);
        var folded = new CacheScales(Target: 3).Fold(model, FoldCase.Grids(model), FoldCase.Input()).Model;
        Assert.InRange(FoldCase.Difference(model, folded), 0, Exact);
        var texts = FoldCase.Input().Calibration!.Tokens;
        var (before, after) = (CacheRange.Measure(model, texts), CacheRange.Measure(folded, texts));
        Assert.Contains(before.Layers, layer => layer.Keys.Max(head => head.Max()) > 3);
        Assert.All(after.Layers, layer => Assert.InRange(layer.Values.Max(), 1.5, 3));
        Assert.All(after.Layers, layer => Assert.InRange(layer.Keys.Max(head => head.Max()), 1.5, 3));
        if (family != ModelFamily.Qwen3) Assert.All(after.Layers, layer => Assert.All(layer.Keys, head => Assert.All(head, largest => Assert.InRange(largest, 1.5, 3))));
    }

    [Fact]
    public void Powers_of_two_leave_the_codes_of_q_k_and_v()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        var folded = new CacheScales(Target: 3).Fold(model, FoldCase.Grids(model), FoldCase.Input()).Model;
        foreach (string type in new[] { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj" })
        {
            byte[] Codes(LlamaModel of) => RoundToNearest.Quantize(of.Blocks[1][type].ToWeightMatrix(), Grid.Nxd()).Codes;
            Assert.Equal(Codes(model), Codes(folded));
        }
    }

    [Fact]
    public void A_scale_for_each_feature_would_change_the_function()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        var split = model.Copy();
        split.Blocks[0]["self_attn.k_proj"].Weight.Tensor.narrow(0, 1, 1).div_(4);
        foreach (int head in new[] { 0, 1 }) split.Blocks[0]["self_attn.q_proj"].Weight.Tensor.narrow(0, (head * 6) + 1, 1).mul_(4);
        Assert.InRange(FoldCase.Difference(model, split), 0.01, 100);
        Assert.Throws<ModelException>(() => CacheScales.IntoKeys(split.Blocks[0], [[1, 1, 1]], model.Config));
    }

    [Fact]
    public void Keys_beyond_the_range_are_counted_and_the_fold_repairs_the_cache()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        var planted = model.Copy();
        foreach (var block in planted.Blocks) CacheScales.IntoKeys(block, [[1, 1.0 / 1024, 1], [1, 1, 1.0 / 1024]], model.Config);
        Assert.InRange(FoldCase.Difference(model, planted), 0, Exact);
        int[][] texts = [TestModels.Tokens(30, 1), TestModels.Tokens(30, 2)];
        var range = CacheRange.Measure(planted, texts);
        Assert.All(range.Layers, layer => Assert.InRange(layer.KeysBeyond, 1, layer.Count / 2));
        Assert.All(CacheRange.Measure(model, texts).Layers, layer => Assert.Equal(0, layer.KeysBeyond));
        double Lost(LlamaModel of) => Math.Abs(CacheStudy.Measure(of, texts, [CachePrecision.Both(CastFormat.E4M3)]).Difference("e4m3"));
        var repaired = new CacheScales().Fold(planted, FoldCase.Grids(model), FoldCase.Input()).Model;
        Assert.InRange(Lost(repaired), 0, Lost(planted) / 5);
    }
}
