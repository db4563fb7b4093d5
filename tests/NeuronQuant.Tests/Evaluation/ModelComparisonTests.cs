using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Evaluation;
using NeuronQuant.Models;
using NeuronQuant.Tests.Models;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>A comparison finds the module that was changed, and nothing when nothing was.</summary>
public class ModelComparisonTests
{
    private static readonly int[] Tokens = TestModels.Tokens(19, 4);

    [Fact]
    public void The_fast_model_is_its_reference_module_by_module()
    {
        var comparison = ReferenceModel.Compare(TestModels.Random(TestModels.Config(ModelFamily.Qwen2)), Tokens, 2e-5);
        Assert.Null(comparison.First);
        Assert.Equal(3 + 2 * 11, comparison.Modules.Count);
        Assert.All(comparison.Modules, module => Assert.True(module.LargestValue > 0.1, module.Module));
    }

    [Theory]
    [InlineData("model.layers.1.mlp.up_proj.weight", "layers.1.mlp.up_proj")]
    [InlineData("model.layers.0.self_attn.k_proj.weight", "layers.0.self_attn.k_proj")]
    [InlineData("model.norm.weight", "norm")]
    public void The_first_module_that_differs_is_the_one_that_was_changed(string parameter, string module)
    {
        LlamaModel original = TestModels.Random(TestModels.Config()), changed = TestModels.Random(TestModels.Config());
        changed.Parameters.Single(p => p.Name == parameter).Values[3] += 0.5f;
        var comparison = ModelComparison.Of(changed, original, Tokens);
        Assert.Equal(module, comparison.First?.Module);
        Assert.Contains(module, comparison.ToDataFrame().ToText().Split('\n')[0], StringComparison.Ordinal);
        Assert.Single(comparison.ToDataFrame().ToText(int.MaxValue).Split('\n'), line => line.StartsWith("* ", StringComparison.Ordinal));
    }

    [Fact]
    public void Not_a_number_is_a_difference()
    {
        LlamaModel original = TestModels.Random(TestModels.Config()), changed = TestModels.Random(TestModels.Config());
        changed.Blocks[1]["mlp.gate_proj"].Weight.Values[0] = float.NaN;
        Assert.Equal("layers.1.mlp.gate_proj", ModelComparison.Of(changed, original, Tokens).First?.Module);
    }

    [Fact]
    public void Models_of_different_sizes_are_refused() => Assert.Throws<ModelException>(() =>
        ModelComparison.Of(TestModels.Random(TestModels.Config()), TestModels.Random(TestModels.Config(tied: true)), Tokens));
}
