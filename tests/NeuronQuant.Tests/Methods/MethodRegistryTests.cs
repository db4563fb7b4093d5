using NeuronQuant.Checkpoints;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Models;
using NeuronQuant.Tests.Tuning;
using NeuronQuant.Tuning;
using Xunit;

namespace NeuronQuant.Tests.Methods;

/// <summary>Methods by name, composed and a reader's own among them.</summary>
public class MethodRegistryTests
{
    // As a reader would write it in a cell: each row keeps its largest weight in magnitude apart from the grid of the others, as twice their range.
    private sealed class Halved : IQuantizationMethod
    {
        public string Name => "halved";

        public MethodNeeds Needs => MethodNeeds.Nothing;

        public QuantizedModel Apply(LlamaModel model, IReadOnlyDictionary<ModuleName, Grid> grids, MethodInput input) =>
            QuantizedModel.Each(Name, model, grids, (linear, grid) =>
            {
                float[] values = linear.Weight.ToArray();
                for (int row = 0; row < linear.Out; row++)
                {
                    var part = values.AsSpan(row * linear.In, linear.In);
                    float half = part.ToArray().Max(MathF.Abs) / 2;
                    for (int i = 0; i < part.Length; i++) part[i] = Math.Clamp(part[i], -half, half);
                }
                return RoundToNearest.Quantize(WeightMatrix.Of(linear.Name, values, linear.Out, linear.In), grid);
            });
    }

    [Fact]
    public void A_method_of_the_readers_own_is_named_composed_and_made_as_any_other()
    {
        MethodRegistry.Register(new Halved());
        Assert.Contains("halved", MethodRegistry.Names);
        var model = TuningCase.Model();
        var grids = ModelGrids.Of(model.Config, Grid.Nxd(3), ["layers.1.self_attn"]);
        var row = MethodRegistry.Parse("halved+selective");
        Assert.Equal(("halved+selective", true), (row.Name, row.Selective));
        var made = row.Method.Apply(model, grids, new MethodInput());
        Assert.Equal(grids.Keys.Order(), made.Weights.Keys.Order());
        var quantized = made.ToModel();
        float[] original = model.Blocks[0]["mlp.up_proj"].Weight.ToArray(), after = quantized.Blocks[0]["mlp.up_proj"].Weight.ToArray();
        Assert.Equal(original.Take(20).Max(MathF.Abs) / 2, after.Take(20).Max(MathF.Abs), 1e-6f);
        Assert.Equal(model.Blocks[1]["self_attn.q_proj"].Weight.ToArray(), quantized.Blocks[1]["self_attn.q_proj"].Weight.ToArray());
    }

    [Theory]
    [InlineData("rtn")]
    [InlineData("clip")]
    [InlineData("gptq")]
    [InlineData("autoround")]
    public void Ours_give_codes_to_every_module_of_the_grids_and_to_no_other(string name)
    {
        var model = TuningCase.Model();
        var grids = ModelGrids.Of(model.Config, Grid.Nxd(4), ["layers.0.mlp"]);
        var method = MethodRegistry.Parse(name, new AutoRoundMethod(TuningCase.Short)).Method;
        var made = method.Apply(model, grids, new MethodInput(TuningCase.Texts()));
        Assert.Equal(name, made.Method);
        Assert.Equal(grids.Keys.Order(), made.Weights.Keys.Order());
        Assert.Contains(new ModuleName(null, "lm_head"), made.Weights.Keys);
        Assert.All(made.Weights.Values, weight => Assert.Equal(Grid.Nxd(4), weight.Grid));
        Assert.Same(model, made.Model);
        Assert.Empty(made.ToModules(model).Floats);
    }

    [Fact]
    public void HQQ_has_zero_points_and_so_never_the_nxd_grid()
    {
        var model = TuningCase.Model();
        var made = MethodRegistry.Parse("hqq").Method.Apply(model, ModelGrids.Of(model.Config, Grid.Nxd(4)), new MethodInput());
        Assert.All(made.Weights.Values, weight => Assert.NotNull(weight.Grid.WhyNotOnNeuron));
    }

    [Theory]
    [InlineData("nothing")]
    [InlineData("gptq+rtn")] // Integers are chosen once.
    [InlineData("selective+rtn")]
    [InlineData("")]
    public void Names_that_mean_nothing_are_refused(string name) => Assert.Throws<ArgumentException>(() => MethodRegistry.Parse(name));

    [Fact]
    public void A_method_that_needs_texts_says_so() =>
        Assert.Contains("--calibration", Assert.Throws<TuningException>(() => MethodRegistry.Parse("gptq").Method.Apply(
            TuningCase.Model(), ModelGrids.Of(TestModels.Config(), Grid.Nxd()), new MethodInput())).Message, StringComparison.Ordinal);

    [Fact]
    public void Bytes_are_those_of_codes_scales_and_kept_modules()
    {
        var model = TuningCase.Model();
        var made = new RoundToNearestMethod().Apply(model, ModelGrids.Of(model.Config, Grid.Nxd(4), ["lm_head"]), new MethodInput());
        long linears = model.Blocks.Sum(block => block.Linears.Sum(linear => ((long)linear.Out * linear.In * 4 + 7) / 8 + 4L * linear.Out));
        Assert.Equal(linears + 2 * 37 * 20, made.Bytes);
    }
}
