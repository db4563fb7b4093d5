using NeuronQuant.Checkpoints;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Models;
using Xunit;

namespace NeuronQuant.Tests.Methods;

/// <summary>Learned rotations: the gradient against differences, steps that stay orthogonal, and a loss that falls.</summary>
public class SpinQuantTests
{
    [Theory]
    [InlineData(ModelFamily.Llama, true)]
    [InlineData(ModelFamily.Qwen2, false)]
    public void The_gradient_is_that_of_differences_where_nothing_is_rounded(ModelFamily family, bool biases)
    {
        var model = FoldCase.Model(family, false, biases);
        var plain = RotatedModel.Prepared(model, []);
        double[] stream = Hadamard.Random(20, 1);
        double[][] heads = [Hadamard.Random(6, 2), Hadamard.Random(6, 3)];
        var nothing = new Dictionary<ModuleName, Grid>();
        int[] targets = TestModels.Tokens(24, 8);
        var batch = new TokenBatch(TestModels.Tokens(24, 7), targets, 2);
        var (ofStream, ofHeads) = SpinQuantGradient.Of(plain, stream, heads, nothing, batch);
        // The loss is a function of any matrix in R's place, orthogonal or not.
        foreach (int at in new[] { 3, 57, 210 }) Assert.Equal(Difference(stream, at), ofStream[at], 1e-5);
        foreach (int at in new[] { 0, 13, 35 })
        {
            Assert.Equal(Difference(heads[0], at), ofHeads[0][at], 1e-5);
            Assert.Equal(Difference(heads[1], at), ofHeads[1][at], 1e-5);
        }

        double Difference(double[] matrix, int at)
        {
            double Loss(double step)
            {
                double old = matrix[at];
                matrix[at] += step;
                using var turned = SpinQuantGradient.Turned(plain, stream, heads);
                matrix[at] = old;
                return turned.Loss(batch);
            }
            return (Loss(1e-5) - Loss(-1e-5)) / 2e-5;
        }
    }

    [Fact]
    public void Steps_stay_orthogonal_and_go_downhill()
    {
        double[] rotation = Hadamard.Random(20, 1), toward = Hadamard.Random(20, 2);
        double Loss() => -rotation.Zip(toward, (a, b) => a * b).Sum(); // Least where the two are one.
        double first = Loss();
        for (int step = 0; step < 200; step++) rotation = SpinQuant.Stepped(rotation, [.. toward.Select(value => -value)], 1.5);
        Assert.InRange(Hadamard.Defect(rotation, 20), 0, 1e-10);
        Assert.InRange(Loss(), -20.0001, first - 10);
    }

    [Fact]
    public void Learned_rotations_are_orthogonal_round_better_on_the_texts_and_leave_the_logits_alone()
    {
        var model = FoldCase.Model(ModelFamily.Qwen2, true);
        var (grids, input, method) = (FoldCase.Grids(model, 3), FoldCase.Input(), new SpinQuant(new SpinQuantOptions(20, 1.5, 4, 5)));
        var learned = method.Learn(model, grids, input);
        Assert.InRange(Hadamard.Defect(learned.Stream, 20), 0, 1e-6);
        Assert.All(learned.Heads, head => Assert.InRange(Hadamard.Defect(head, 6), 0, 1e-6));
        Assert.True(learned.Loss < learned.FirstLoss, $"{learned.Loss} against {learned.FirstLoss}");
        Assert.True(learned.Step > 0);
        var folded = method.Fold(model, grids, input);
        Assert.InRange(FoldCase.Difference(model, folded.Model), 0, 1e-5);
        Assert.False(folded.Model.Config.TieWordEmbeddings);
    }
}
