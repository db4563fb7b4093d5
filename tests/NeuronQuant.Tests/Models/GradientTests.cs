using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using Xunit;

namespace NeuronQuant.Tests.Models;

/// <summary>Outputs of the fast model against the float64 reference, gradients against its central differences.</summary>
public class GradientTests
{
    private const double LogitTolerance = 2e-5; // Logits of some units, through two layers in float32.
    private const double GradientTolerance = 2e-5, Delta = 1e-4; // Differences of a float64 loss: error about 1e-8.

    public static TheoryData<ModelFamily, bool, int?, bool> Models() => new()
    {
        { ModelFamily.Llama, false, null, false }, { ModelFamily.Llama, true, null, true }, { ModelFamily.Qwen2, false, null, false },
        { ModelFamily.Mistral, false, 5, false },
    };

    [Theory]
    [MemberData(nameof(Models))]
    public void Logits_equal_the_reference(ModelFamily family, bool tied, int? window, bool scaled)
    {
        var model = Make(family, tied, window, scaled);
        int[] tokens = TestModels.Tokens(71, 5);
        double[] expected = new ReferenceModel(model).Logits(tokens);
        float[] actual = new ModelPass(model).Logits(new TokenBatch(tokens, [], 1));
        for (int i = 0; i < actual.Length; i++) Assert.Equal(expected[i], actual[i], LogitTolerance);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Gradients_equal_central_differences(ModelFamily family, bool tied, int? window, bool scaled)
    {
        var model = Make(family, tied, window, scaled);
        var batch = TokenBatch.Of([TestModels.Tokens(9, 1), TestModels.Tokens(13, 2)], counts: (text, i) => text == 0 || i > 3);
        var reference = new ReferenceModel(model);
        foreach (var parameter in model.Parameters) parameter.ZeroGradient();
        Assert.Equal(reference.Loss(batch), new ModelPass(model).LossAndGradients(batch), 1e-5);
        foreach (var parameter in model.Parameters)
            for (int i = 0; i < parameter.Values.Length; i += Math.Max(1, parameter.Values.Length / 4))
                Assert.Equal(Difference(reference, parameter.Name, i, batch), parameter.Gradient![i], GradientTolerance);
    }

    [Fact]
    public void A_block_alone_gives_the_gradient_of_its_input_and_of_the_weights_asked_for()
    {
        var model = Make(ModelFamily.Llama, false, null, false);
        var block = model.Blocks[1];
        float[] x = TestWeights.Normal(2 * 5 * 20, 3, 1), weights = TestWeights.Normal(x.Length, 4, 1), y = new float[x.Length];
        block.Up.Weight.ZeroGradient();
        var kept = new BlockActivations();
        block.Forward(x, y, 2, 5, kept);
        float[] gradient = [.. weights];
        block.Backward(gradient, kept, new BlockGradients());
        Assert.Null(block.Gate.Weight.Gradient);
        for (int i = 0; i < x.Length; i += 23) Assert.Equal(Slope(x, i), gradient[i], 1e-3); // float32 differences: 1e-3 of slopes of some units.
        float[] up = block.Up.Weight.Values;
        for (int i = 0; i < up.Length; i += 67) Assert.Equal(Slope(up, i), block.Up.Weight.Gradient![i], 4e-3);

        double Slope(float[] values, int i)
        {
            float old = values[i], step = 0.01f;
            values[i] = old + step;
            double above = Weighted();
            values[i] = old - step;
            double below = Weighted();
            values[i] = old;
            return (above - below) / (2 * step);
        }

        double Weighted()
        {
            block.Forward(x, y, 2, 5, kept);
            return y.Zip(weights, (a, b) => (double)a * b).Sum();
        }
    }

    [Fact]
    public void Padding_changes_no_real_position()
    {
        var model = Make(ModelFamily.Llama, false, null, false);
        int[] one = TestModels.Tokens(30, 1), other = TestModels.Tokens(11, 2);
        float[] alone = new ModelPass(model).Logits(new TokenBatch(other, [], 1));
        float[] together = new ModelPass(model).Logits(TokenBatch.Of([one, other], padding: 36));
        for (int i = 0; i < alone.Length; i++) Assert.Equal(alone[i], together[30 * 37 + i], 1e-5);
    }

    private static LlamaModel Make(ModelFamily family, bool tied, int? window, bool scaled) =>
        TestModels.Random(TestModels.Config(family, tied, window, scaled ? new RopeScaling(8, 1, 4, 64) : null));

    private static double Difference(ReferenceModel reference, string name, int i, TokenBatch batch)
    {
        double[] values = reference.Values[name];
        double old = values[i];
        values[i] = old + Delta;
        double above = reference.Loss(batch);
        values[i] = old - Delta;
        double below = reference.Loss(batch);
        values[i] = old;
        return (above - below) / (2 * Delta);
    }
}
