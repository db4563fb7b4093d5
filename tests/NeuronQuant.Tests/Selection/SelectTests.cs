using NeuronQuant.Checkpoints;
using NeuronQuant.Quantization;
using NeuronQuant.Selection;
using NeuronQuant.Sensitivity;
using Xunit;

namespace NeuronQuant.Tests.Selection;

public class SelectTests
{
    // Two layers and a head; layer 1's q_proj and layer 0's whole MLP stand out by variance, down_proj of layer 1 by an outlier.
    private static readonly ModelProfile Profile = ModelProfile.Of(
        Enumerable.Range(0, 2).SelectMany(layer => ModuleName.LinearTypes.Select(type => new ModuleName(layer, type)))
            .Append(new ModuleName(null, "lm_head")).Append(new ModuleName(0, "input_layernorm")).Select(Measure));

    [Fact]
    public void A_threshold_on_the_blogs_metric_keeps_what_is_above_it()
    {
        var selection = Select.ByThreshold(Profile, Metric.OutlierMagnitude, 0.01);
        Assert.Equal(["layers.0.mlp", "layers.1.self_attn.q_proj", "layers.1.self_attn.qkv_proj.q_proj"], selection.Entries);
        Assert.Equal(4, selection.Kept.Count);
        Assert.Equal(4 * 256, selection.KeptWeights);
        Assert.Equal(8 + 8.0 * 4 / 15, selection.AverageBits, 1e-12);
    }

    [Fact]
    public void A_threshold_on_SQNR_keeps_what_is_below_it() =>
        Assert.Equal(["layers.1.mlp.down_proj"], Select.ByThreshold(Profile, Metric.Int8Sqnr, 42).Entries);

    [Fact]
    public void The_worst_by_crest_factor_comes_first() =>
        Assert.Equal("layers.1.mlp.down_proj", Select.Top(Profile, Metric.CrestFactor, 1).Kept[0].Name);

    [Fact]
    public void Every_selection_resolves_to_itself_under_both_names()
    {
        for (int k = 0; k <= 15; k++)
        {
            var selection = Select.Top(Profile, Metric.OutlierMagnitude, k);
            Assert.Equal(k, selection.Kept.Count);
            Assert.Equal(selection.Kept, Select.ByEntries(Profile, [.. selection.Entries]).Kept);
        }
    }

    [Fact]
    public void Norms_are_measured_but_never_selected()
    {
        Assert.Contains(Profile.Modules, entry => entry.Module.Type == "input_layernorm");
        Assert.DoesNotContain(Select.Top(Profile, Metric.OutlierMagnitude, 99).Kept, module => module.Type == "input_layernorm");
    }

    [Fact]
    public void Unsafe_entries_and_thresholds_are_refused()
    {
        Assert.Throws<QuantizationException>(() => Select.ByEntries(Profile, "layers.0.self_attn.k_proj"));
        Assert.Throws<ArgumentException>(() => Select.ByThreshold(Profile, Metric.Kurtosis, double.NaN));
    }

    [Fact]
    public void Groups_average_over_the_channels_of_their_weights()
    {
        double[] mlp = Profile.ByLayer("mlp");
        var members = Profile.Modules.Where(entry => entry.Module.Layer == 0 && entry.Module.Type.StartsWith("mlp", StringComparison.Ordinal)).ToArray();
        Assert.Equal(members.Average(entry => entry.OutlierMagnitude), mlp[0], 1e-15);
        Assert.Throws<ArgumentException>(() => Profile.ByLayer("mlp.experts"));
    }

    private static ModuleMetrics Measure(ModuleName module)
    {
        bool wide = module.Name is "layers.1.self_attn.q_proj" || module.Name.StartsWith("layers.0.mlp", StringComparison.Ordinal);
        float[] w = TestWeights.Normal(256, module.Name.Length, wide ? 0.3 : 0.02);
        if (module.Name == "layers.1.mlp.down_proj")
            for (int row = 0; row < 16; row++) w[row * 17] = 0.3f;
        return ModuleMetrics.Measure(module, WeightMatrix.Of(module.Name, w, 16, 16));
    }
}
