using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
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
        { ModelFamily.Mistral, false, 5, false }, { ModelFamily.Qwen3, false, null, false },
    };

    [Theory]
    [MemberData(nameof(Models))]
    public void Logits_equal_the_reference(ModelFamily family, bool tied, int? window, bool scaled)
    {
        var model = Make(family, tied, window, scaled);
        int[] tokens = TestModels.Tokens(71, 5);
        double[] expected = new ReferenceModel(model).Logits(tokens);
        float[] actual = model.Logits(new TokenBatch(tokens, [], 1)).ToFloats();
        for (int i = 0; i < actual.Length; i++) Assert.Equal(expected[i], actual[i], LogitTolerance);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Gradients_equal_central_differences(ModelFamily family, bool tied, int? window, bool scaled)
    {
        var model = Make(family, tied, window, scaled);
        var batch = TokenBatch.Of([TestModels.Tokens(9, 1), TestModels.Tokens(13, 2)], counts: (text, i) => text == 0 || i > 3);
        var reference = new ReferenceModel(model);
        Assert.Equal(reference.Loss(batch), model.LossAndGradients(batch), 1e-5);
        foreach (var parameter in model.Parameters)
        {
            float[] gradient = parameter.Gradient!.ToFloats();
            for (int i = 0; i < gradient.Length; i += Math.Max(1, gradient.Length / 4))
                Assert.Equal(Difference(reference, parameter.Name, i, batch), gradient[i], GradientTolerance);
        }
    }

    // A batch is worked on in halves; here one of them has most targets, and once none at all.
    [Theory]
    [InlineData(0)]
    [InlineData(99)]
    public void A_batch_has_the_gradients_of_its_counted_positions(int firstCounted)
    {
        var model = Make(ModelFamily.Llama, false, null, false);
        int[][] texts = [TestModels.Tokens(9, 1), TestModels.Tokens(13, 2), TestModels.Tokens(6, 3)];
        var alone = texts.Select((text, i) => TokenBatch.Of([text], counts: (_, token) => i > 0 || token >= firstCounted)).Where(batch => batch.Counted > 0).ToArray();
        double counted = alone.Sum(batch => batch.Counted), expected = 0;
        var sums = model.Parameters.ToDictionary(parameter => parameter.Name, parameter => new double[parameter.Tensor.numel()]);
        foreach (var batch in alone)
        {
            expected += batch.Counted / counted * model.LossAndGradients(batch);
            foreach (var parameter in model.Parameters)
                foreach (var (i, value) in parameter.Gradient!.ToFloats().Index()) sums[parameter.Name][i] += batch.Counted / counted * value;
            model.DropGradients();
        }
        Assert.Equal(expected, model.LossAndGradients(TokenBatch.Of(texts, counts: (text, token) => text > 0 || token >= firstCounted)), 1e-6);
        foreach (var parameter in model.Parameters)
            foreach (var (i, value) in parameter.Gradient!.ToFloats().Index()) Assert.Equal(sums[parameter.Name][i], value, 1e-6);
    }

    [Fact]
    public void Padding_changes_no_real_position()
    {
        var model = Make(ModelFamily.Llama, false, null, false);
        int[] one = TestModels.Tokens(30, 1), other = TestModels.Tokens(11, 2);
        float[] alone = model.Logits(new TokenBatch(other, [], 1)).ToFloats();
        float[] together = model.Logits(TokenBatch.Of([one, other], padding: 36)).ToFloats();
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
