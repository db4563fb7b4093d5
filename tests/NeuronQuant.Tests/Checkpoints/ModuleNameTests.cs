using NeuronQuant.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>Names of modules in their three spellings, and the order of a forward pass.</summary>
public class ModuleNameTests
{
    // Hugging Face, report, Neuron graph; the last form is where NxD Inference's q/k/v and output wrappers put the projections.
    [Theory]
    [InlineData("model.layers.0.self_attn.q_proj", "layers.0.self_attn.q_proj", "layers.0.self_attn.qkv_proj.q_proj", true)]
    [InlineData("model.layers.37.self_attn.k_proj", "layers.37.self_attn.k_proj", "layers.37.self_attn.qkv_proj.k_proj", true)]
    [InlineData("model.layers.3.self_attn.v_proj", "layers.3.self_attn.v_proj", "layers.3.self_attn.qkv_proj.v_proj", true)]
    [InlineData("model.layers.3.self_attn.o_proj", "layers.3.self_attn.o_proj", "layers.3.self_attn.o_proj.o_proj", true)]
    [InlineData("model.layers.3.mlp.gate_proj", "layers.3.mlp.gate_proj", "layers.3.mlp.gate_proj", true)]
    [InlineData("model.layers.3.mlp.up_proj", "layers.3.mlp.up_proj", "layers.3.mlp.up_proj", true)]
    [InlineData("model.layers.3.mlp.down_proj", "layers.3.mlp.down_proj", "layers.3.mlp.down_proj", true)]
    [InlineData("model.layers.3.input_layernorm", "layers.3.input_layernorm", "layers.3.input_layernorm", false)]
    [InlineData("model.layers.3.self_attn", "layers.3.self_attn", "layers.3.self_attn", false)]
    [InlineData("model.layers.3", "layers.3", "layers.3", false)]
    [InlineData("model.embed_tokens", "embed_tokens", "embed_tokens", false)]
    [InlineData("model.norm", "norm", "norm", false)]
    [InlineData("lm_head", "lm_head", "lm_head", true)]
    public void ThreeSpellingsAreOneModule(string huggingFace, string name, string neuron, bool isLinear)
    {
        foreach (string spelling in new[] { huggingFace, name, neuron, "model." + neuron })
        {
            var module = ModuleName.Parse(spelling);
            Assert.Equal((huggingFace, name, neuron, isLinear), (module.HuggingFaceName, module.Name, module.NeuronName, module.IsLinear));
            Assert.Equal(ModuleName.Parse(name), module);
        }
    }

    [Theory]
    [InlineData("model.layers.12.mlp.down_proj.weight", 12, "mlp.down_proj", "weight")]
    [InlineData("layers.2.self_attn.qkv_proj.q_proj.scale", 2, "self_attn.q_proj", "scale")]
    [InlineData("model.layers.0.self_attn.q_proj.bias", 0, "self_attn.q_proj", "bias")]
    [InlineData("lm_head.weight_scale", null, "lm_head", "weight_scale")]
    [InlineData("loose", null, "loose", "")]
    public void TensorsSplitIntoModuleAndParameter(string tensor, int? layer, string type, string parameter)
    {
        Assert.Equal(new ModuleName(layer, type), ModuleName.OfTensor(tensor, out string found));
        Assert.Equal(parameter, found);
    }

    [Theory]
    [InlineData("layers.x.mlp")]
    [InlineData("layers.-1.mlp")]
    [InlineData("layers.03.mlp")]
    [InlineData("layers.99999999999.mlp")]
    [InlineData("layers")]
    [InlineData("vision.layers.3.mlp")]
    [InlineData("")]
    public void UnknownNamesAreKeptWithoutALayer(string name) =>
        Assert.Equal((null, name, name, false), (ModuleName.Parse(name).Layer, ModuleName.Parse(name).Name, ModuleName.Parse(name).NeuronName,
            ModuleName.Parse(name).IsLinear));

    [Fact]
    public void OnlyOneModelPrefixIsDropped() => Assert.Equal("model.norm", ModuleName.Parse("model.model.norm").Name);

    [Fact]
    public void TheOrderIsThatOfAForwardPass()
    {
        string[] expected =
        [
            "model.embed_tokens.weight", "model.layers.2.input_layernorm.weight", "model.layers.2.self_attn.q_proj.bias",
            "model.layers.2.self_attn.q_proj.weight", "model.layers.2.self_attn.o_proj.weight", "model.layers.2.mlp.gate_proj.weight",
            "model.layers.2.mlp.down_proj.weight", "model.layers.2.other2.weight", "model.layers.2.other10.weight",
            "model.layers.10.input_layernorm.weight",
            "model.norm.weight", "lm_head.weight", "a.9", "a.10",
        ];
        var random = new Random(3);
        for (int round = 0; round < 20; round++)
            Assert.Equal(expected, expected.OrderBy(_ => random.Next()).Order(Comparer<string>.Create(ModuleName.CompareTensors)));
    }

    [Fact]
    public void NaturalOrderIsATotalOrder()
    {
        string[] ordered = ["", "a", "a.01", "a.1", "a.2", "a.10", "a.99999999999999999999999", "a.b", "b"];
        for (int i = 0; i < ordered.Length; i++)
            for (int j = 0; j < ordered.Length; j++)
                Assert.Equal(i.CompareTo(j), Math.Sign(NaturalOrder.Instance.Compare(ordered[i], ordered[j])));
    }

    [Fact]
    public void TheLinearModulesOfALayerAreSeven() => Assert.Equal(
        ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"],
        ModuleName.LinearTypes);
}
