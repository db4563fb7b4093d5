using NeuronQuant.Checkpoints;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using Xunit;

namespace NeuronQuant.Tests.Methods;

/// <summary>Rotations: matrices that are orthogonal, models that compute the same, and the faults of published tools with the errors that they
/// make.</summary>
public class RotationTests
{
    private static readonly double[] R1 = Hadamard.Random(20, 3), R2 = Hadamard.Random(6, 4);

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(12)] // Paley's first
    [InlineData(20)]
    [InlineData(44)] // Missing from QuaRot's table.
    [InlineData(60)]
    [InlineData(28)] // Paley's second
    [InlineData(36)]
    [InlineData(76)]
    [InlineData(80)]
    [InlineData(112)]
    [InlineData(5120)]
    public void Hadamard_matrices_have_orthogonal_rows_of_ones(int size)
    {
        sbyte[] h = Hadamard.Of(size)!;
        Assert.All(h.Take(100_000), entry => Assert.Equal(1, Math.Abs((int)entry)));
        var random = new Random(1);
        for (int trial = 0; trial < 2000; trial++)
        {
            var (i, j) = (random.Next(size), random.Next(size));
            long dot = 0;
            for (int k = 0; k < size; k++) dot += h[i * size + k] * h[j * size + k];
            Assert.Equal(i == j ? size : 0, dot);
        }
    }

    [Theory]
    [InlineData(6)] // No Hadamard matrix: the Q of normal numbers.
    [InlineData(20)]
    [InlineData(128)]
    [InlineData(896)]
    public void Random_rotations_are_orthogonal_and_belong_to_their_seed(int size)
    {
        double[] rotation = Hadamard.Random(size, 7);
        Assert.InRange(Hadamard.Defect(rotation, size), 0, 1e-12);
        Assert.Equal(rotation, Hadamard.Random(size, 7));
        // The signs are in front of H: a constant row becomes another one with each seed, and not one large weight.
        double[] constant = [.. Enumerable.Range(0, size).Select(j => Enumerable.Range(0, size).Sum(i => rotation[i * size + j]))];
        if (size > 100) Assert.InRange(constant.Max(Math.Abs) / Math.Sqrt(constant.Average(value => value * value)), 1.5, 5);
        Assert.NotEqual(rotation, Hadamard.Random(size, 8));
    }

    [Theory]
    [InlineData(ModelFamily.Llama, false, false)]
    [InlineData(ModelFamily.Llama, true, false)]
    [InlineData(ModelFamily.Llama, false, true)] // Biases of o and down.
    [InlineData(ModelFamily.Qwen2, false, false)]
    [InlineData(ModelFamily.Qwen2, true, false)]
    [InlineData(ModelFamily.Qwen3, false, false)]
    public void Both_rotations_leave_the_logits_alone(ModelFamily family, bool tied, bool biases)
    {
        var model = FoldCase.Model(family, tied, biases);
        foreach (var rotation in new[] { new Rotation(), new Rotation(Heads: false), new Rotation(Stream: false) })
        {
            var folded = rotation.Fold(model, FoldCase.Grids(model), new MethodInput());
            Assert.InRange(FoldCase.Difference(model, folded.Model), 0, 1e-5);
            Assert.Equal(tied && !rotation.Stream, folded.Model.Config.TieWordEmbeddings);
            Assert.NotEqual(model.Blocks[0]["self_attn.o_proj"].Weight.ToArray(), folded.Model.Blocks[0]["self_attn.o_proj"].Weight.ToArray());
        }
    }

    [Fact]
    public void A_rotation_keeps_the_norm_of_every_weight_that_no_gain_went_into()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        var turned = Rotation.Turned(model, R1, [R2, R2]).Model;
        double Norm(LlamaModel of, string type) => of.Blocks[1][type].Weight.Tensor.square().sum().item<double>();
        foreach (string type in new[] { "self_attn.o_proj", "mlp.down_proj" }) Assert.Equal(Norm(model, type), Norm(turned, type), 1e-10);
    }

    [Fact]
    public void Gains_that_were_not_folded_do_not_commute()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        var turned = model.Copy();
        Torch.Run(() => RotatedModel.TurnStream(turned, Rotation.Square(R1)));
        Assert.InRange(FoldCase.Difference(model, turned), 0.5, 100);
    }

    [Fact]
    public void An_embedding_s_mean_is_not_to_be_subtracted_under_RMSNorm()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        model.Embedding.Tensor.add_(0.3);
        var right = Rotation.Turned(model, R1, null).Model;
        Assert.InRange(FoldCase.Difference(model, right), 0, 1e-5);
        var wrong = model.Copy();
        wrong.Embedding.Tensor.sub_(wrong.Embedding.Tensor.mean([1L], keepdim: true));
        Assert.InRange(FoldCase.Difference(model, Rotation.Turned(wrong, R1, null).Model), 0.5, 100);
    }

    [Fact]
    public void The_bias_of_v_turns_with_its_rows()
    {
        var model = FoldCase.Model(ModelFamily.Qwen2, false);
        var turned = Rotation.Turned(model, null, [R2, R2]).Model;
        turned.Blocks[0]["self_attn.v_proj"].Bias!.Tensor.copy_(model.Blocks[0]["self_attn.v_proj"].Bias!.Tensor);
        Assert.InRange(FoldCase.Difference(model, turned), 0.1, 100);
    }

    [Fact]
    public void The_biases_of_o_and_down_turn_with_the_stream()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false, outputBiases: true);
        var turned = Rotation.Turned(model, R1, null).Model;
        turned.Blocks[0]["mlp.down_proj"].Bias!.Tensor.copy_(model.Blocks[0]["mlp.down_proj"].Bias!.Tensor);
        Assert.InRange(FoldCase.Difference(model, turned), 0.1, 100);
    }

    [Fact]
    public void The_size_of_a_head_is_not_hidden_over_heads()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false); // hidden 20, 4 heads of 6: 20 / 4 = 5, which divides no head.
        var wrong = Rotation.Square(Hadamard.Random(model.Config.HiddenSize / model.Config.HeadCount, 1));
        Assert.ThrowsAny<Exception>(() => Torch.Run(() => RotatedModel.TurnHeads(model.Copy().Blocks[0], wrong)));
        var two = Rotation.Square(Hadamard.Random(4, 1)); // A wrong size that divides: 12 = 3 * 4, 24 = 6 * 4.
        var turned = model.Copy();
        Torch.Run(() => RotatedModel.TurnHeads(turned.Blocks[0], two));
        Assert.InRange(FoldCase.Difference(model, turned), 0.1, 100);
    }

    [Fact]
    public void A_tied_head_that_is_tied_again_is_wrong()
    {
        var model = FoldCase.Model(ModelFamily.Llama, true);
        var turned = Rotation.Turned(model, R1, null).Model;
        Assert.False(turned.Config.TieWordEmbeddings);
        turned.Head.Weight.Tensor.copy_(turned.Embedding.Tensor); // What NxDI does where config.json still says tied.
        Assert.InRange(FoldCase.Difference(model, turned), 0.1, 100);
    }

    [Fact]
    public void The_demo_model_s_rows_are_normal_already_and_its_head_loses()
    {
        var model = LlamaModel.Load(Repository.PathOf("data", "demo-model"));
        var turned = new Rotation().Fold(model, FoldCase.Grids(model), new MethodInput()).Model;
        static double Crest(IEnumerable<Linear> linears) => linears.SelectMany(linear => Enumerable.Range(0, linear.Out).Select(row =>
        {
            var values = linear.Weight.Values.Slice(row * linear.In, linear.In).ToArray();
            return values.Max(MathF.Abs) / Math.Sqrt(values.Average(value => (double)value * value));
        })).Average();
        double before = Crest(model.Blocks.SelectMany(block => block.Linears)), after = Crest(turned.Blocks.SelectMany(block => block.Linears));
        Assert.InRange(before, 2.75, 2.95);
        Assert.InRange(after / before, 0.97, 1.03);
        Assert.Equal(2.45, Crest([model.Head]), 0.02);
        Assert.InRange(Crest([turned.Head]), 2.6, 2.8);
    }

    [Fact]
    public void Composed_with_another_transform_and_a_chooser_all_folds_are_on_record()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        var method = MethodRegistry.Parse("hadamard+smoothquant+gptq").Method;
        var made = method.Apply(model, FoldCase.Grids(model), FoldCase.Input());
        Assert.Equal("hadamard+smoothquant+gptq", made.Method);
        Assert.InRange(FoldCase.Difference(model, made.Model), 0, 1e-5);
        Assert.Contains(made.Folds, fold => fold.By == "R1");
        Assert.Contains(made.Folds, fold => fold.By.Contains("gain / s", StringComparison.Ordinal));
        var floats = made.ToModules(model).Floats;
        Assert.Contains("model.embed_tokens.weight", floats.Keys);
        Assert.Contains("model.norm.weight", floats.Keys);
        Assert.DoesNotContain("model.layers.0.mlp.up_proj.weight", floats.Keys); // Its codes say all.
    }
}
