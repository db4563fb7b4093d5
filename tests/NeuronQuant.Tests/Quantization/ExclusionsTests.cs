using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Quantization;

public class ExclusionsTests
{
    private static readonly IReadOnlyList<ModuleName> Nemo =
        [.. Enumerable.Range(0, 40).SelectMany(layer => ModuleName.LinearTypes.Select(type => new ModuleName(layer, type))), new ModuleName(null, "lm_head")];

    [Theory]
    [InlineData("lm_head", 1)]
    [InlineData("layers.37.mlp", 3)]
    [InlineData("layers.37.mlp.down_proj", 1)]
    [InlineData("layers.37.self_attn", 4)]
    [InlineData("layers.37.self_attn.o_proj", 1)]
    [InlineData("q_proj", 40)]
    [InlineData("down_proj", 40)]
    [InlineData("layers.3.", 7)]
    public void Safe_forms_match_the_same_modules_under_both_names(string entry, int count)
    {
        Assert.Equal(count, Exclusions.Resolve([entry], Nemo).Count);
        Assert.Null(Assert.Single(Exclusions.Preview([entry], Nemo)).Warning);
    }

    [Theory]
    [InlineData("layers.37.self_attn.q_proj", "layers.37.self_attn.qkv_proj.q_proj")]
    [InlineData("layers.37.self_attn.qkv_proj", "Hugging Face name")]
    [InlineData("model.layers.3.mlp", "Write 'layers.3.mlp'")]
    [InlineData("layers.40.mlp", "matches no linear module")]
    [InlineData("layer.3.mlp", "matches no linear module")]
    public void Unsafe_forms_are_refused_with_the_remedy(string entry, string remedy)
    {
        var error = Assert.Throws<QuantizationException>(() => Exclusions.Resolve([entry], Nemo));
        Assert.Contains(remedy, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Both_names_of_a_query_projection_together_are_safe() =>
        Assert.Equal("layers.37.self_attn.q_proj", Assert.Single(Exclusions.Resolve(["layers.37.self_attn.q_proj", "layers.37.self_attn.qkv_proj.q_proj"], Nemo)).Name);

    [Fact]
    public void A_bare_layer_number_warns_of_the_layers_it_also_matches()
    {
        var match = Assert.Single(Exclusions.Preview(["layers.3"], Nemo));
        Assert.Equal(11 * 7, match.HuggingFaceMatches.Count);
        Assert.Contains("30, 31, 32, 33, 34, 35, 36, 37, 38, 39", match.Warning, StringComparison.Ordinal);
        Assert.Contains("'layers.3.'", match.Warning, StringComparison.Ordinal);
    }

    [Fact]
    public void The_blogs_list_is_safe()
    {
        string[] blog = ["lm_head", "layers.39.mlp.up_proj", "layers.37.mlp", "layers.5.mlp.gate_proj",
            "layers.0.self_attn", "layers.1.self_attn", "layers.2.self_attn", "layers.3.self_attn"];
        Assert.Equal(1 + 1 + 3 + 1 + 16, Exclusions.Resolve(blog, Nemo).Count);
    }

    [Fact]
    public void Entries_made_for_any_set_of_modules_resolve_to_that_set()
    {
        var random = new Random(11);
        for (int round = 0; round < 30; round++)
        {
            double share = random.NextDouble();
            var kept = Nemo.Where(_ => random.NextDouble() < share).ToHashSet();
            Assert.True(kept.SetEquals(Exclusions.Resolve(Exclusions.EntriesFor(kept, Nemo), Nemo)));
        }
        Assert.Equal(["layers.0.self_attn", "layers.1.self_attn.q_proj", "layers.1.self_attn.qkv_proj.q_proj", "lm_head"],
            Exclusions.EntriesFor(Nemo.Where(m => m.Name.StartsWith("layers.0.self", StringComparison.Ordinal) || m.Name is "layers.1.self_attn.q_proj" or "lm_head"), Nemo));
    }

    [Fact]
    public void A_plan_gives_every_linear_module_a_format_and_keeps_a_tied_head()
    {
        var plan = QuantizationPlan.Create(Nemo, tiedHead: true, Format.Int8, Granularity.PerChannelSymmetric, ["layers.0.mlp"]);
        Assert.Equal(["layers.0.mlp", "lm_head"], plan.ModulesToNotConvert);
        Assert.Equal(4, plan.Kept.Count());
        Assert.Equal(Format.Int8, plan[new ModuleName(1, "mlp.up_proj")]);
        Assert.Equal(Format.Bf16, plan[new ModuleName(1, "input_layernorm")]);
        Assert.Contains("tie_word_embeddings", Assert.Single(plan.Notes), StringComparison.Ordinal);
    }

    [Fact]
    public void Plans_that_NxDI_would_get_wrong_are_refused_or_noted()
    {
        Assert.Contains("per_channel_symmetric", Assert.Throws<QuantizationException>(() =>
            QuantizationPlan.Create(Nemo, false, Format.Int8, Granularity.PerTensorSymmetric, ["lm_head"])).Message, StringComparison.Ordinal);
        Assert.Throws<QuantizationException>(() => QuantizationPlan.Create(Nemo, false, Format.Bf16, Granularity.PerChannelSymmetric, []));
        Assert.Throws<QuantizationException>(() => QuantizationPlan.Create([], false, Format.Int8, Granularity.PerChannelSymmetric, []));
        Assert.Contains(QuantizationPlan.Create(Nemo, false, Format.F8E4M3, Granularity.PerTensorSymmetric, []).Notes, note => note.Contains("0-dimensional", StringComparison.Ordinal));
        Assert.Contains(QuantizationPlan.Create(Nemo, false, Format.Int8, Granularity.PerChannelSymmetric, [], attentionBias: true).Notes,
            note => note.Contains("NotImplementedError", StringComparison.Ordinal));
    }
}
