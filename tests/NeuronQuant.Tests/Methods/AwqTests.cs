using NeuronQuant.Checkpoints;
using NeuronQuant.Methods;
using NeuronQuant.Quantization;
using Xunit;

namespace NeuronQuant.Tests.Methods;

/// <summary>AWQ's two searches against loops over tokens in double precision, and what they promise on a model.</summary>
public class AwqTests
{
    private const int Rows = 7, Columns = 13, Tokens = 29;

    private static readonly float[] Inputs = Activations();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_search_of_a_layer_is_that_of_its_definition(bool duo)
    {
        var weight = TestWeights.Matrix(Rows, Columns, 3);
        var (grid, options) = (Grid.Nxd(3), new AwqOptions(DuoScaling: duo));
        double[] mean = Mean();
        var found = new Awq(options).SearchLayer(weight, grid, mean, GramMatrix.Of(Inputs, Columns));
        double[] losses = [.. options.Ratios.Select(ratio => Loss(weight, grid, Scales(weight, mean, ratio, duo)))];
        Assert.Equal(losses, found.Losses, (expected, actual) => Math.Abs(expected - actual) < 1e-4 * expected);
        int best = Array.IndexOf(losses, losses.Min());
        Assert.Equal(options.Ratios[best], found.Ratio);
        Assert.Equal(Scales(weight, mean, found.Ratio, duo), found.Scales, (expected, actual) => Math.Abs(expected - actual) < 1e-12);
        Assert.True(losses[best] < 0.9 * losses[0]); // Channels differ by a factor of 8, so there is something to win.
    }

    [Fact]
    public void No_scale_is_rounding_to_nearest_exactly()
    {
        var weight = TestWeights.Matrix(Rows, Columns, 3);
        var gram = GramMatrix.Of(Inputs, Columns);
        double rounded = gram.Error(weight.ToArray(), RoundToNearest.Quantize(weight, Grid.Nxd(4)).Dequantize()) / Tokens / Rows;
        Assert.Equal(rounded, new Awq().SearchLayer(weight, Grid.Nxd(4), Mean(), gram).Losses[0]);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(4)]
    public void The_search_of_ranges_is_that_of_its_definition(int? size)
    {
        var weight = TestWeights.Matrix(Rows, Columns, 5);
        var grid = size is int group ? Grid.Nxd(3).InGroups(group) : Grid.Nxd(3);
        var found = AwqClipping.Search(weight, GramMatrix.Of(Inputs, Columns), grid);
        int width = size ?? Columns;
        for (int row = 0; row < Rows; row++)
            for (int first = 0; first < Columns; first += width)
            {
                float[] part = [.. weight.ToArray().Skip(row * Columns + first).Take(Math.Min(width, Columns - first))];
                var (best, least) = (0.0, double.PositiveInfinity);
                for (int i = 0; i < 10; i++)
                {
                    double scale = (float)(1 - i * 0.05) * part.Max(MathF.Abs) / 3.0;
                    double error = Enumerable.Range(0, Tokens).Sum(token => Math.Pow(part.Select((w, j) =>
                        Inputs[token * Columns + first + j] * (w - scale * Math.Clamp(Math.Round(w / scale), -3, 3))).Sum(), 2));
                    if (error < least) (best, least) = (scale, error);
                }
                Assert.Equal(best, found.Scale(row, first), 1e-6);
            }
    }

    [Fact]
    public void On_a_model_no_group_is_worse_than_rounding_and_kept_modules_are_left_out_of_the_search()
    {
        var model = FoldCase.Model(ModelFamily.Qwen2, false);
        var input = FoldCase.Input();
        var found = new Awq(new AwqOptions(GroupedHeads: true)).Search(model, FoldCase.Grids(model, 3), input);
        Assert.All(found, layer => Assert.Equal(4, layer.Choices.Count));
        Assert.All(found.SelectMany(layer => layer.Choices), choice => Assert.Equal(choice.Losses.Min(), choice.Losses[choice.Ratio is double r
            ? (int)Math.Round(r * 20) : 0]));
        Assert.Contains(found.SelectMany(layer => layer.Choices), choice => choice.Ratio > 0);
        Assert.Equal(3, new Awq().Search(model, FoldCase.Grids(model), input)[0].Choices.Count); // v and o differ in shape: o is left alone.
        var some = ModelGrids.Of(model.Config, Grid.Nxd(3), ["layers.0.mlp"]);
        Assert.Equal(["self_attn.q_proj, self_attn.k_proj, self_attn.v_proj"], new Awq().Search(model, some, input)[0].Choices.Select(choice =>
            choice.Modules));
    }

    // Half-normal-like inputs whose channels are of very different size.
    private static float[] Activations()
    {
        float[] x = TestWeights.Normal(Tokens * Columns, 11, 1);
        for (int i = 0; i < x.Length; i++) x[i] *= i % Columns % 5 == 1 ? 8 : 1;
        return x;
    }

    private static double[] Mean() =>
        [.. Enumerable.Range(0, Columns).Select(j => Enumerable.Range(0, Tokens).Average(token => (double)MathF.Abs(Inputs[token * Columns + j])))];

    private static double[] Scales(WeightMatrix weight, double[] mean, double? ratio, bool duo)
    {
        if (ratio is not double r) return [.. mean.Select(_ => 1.0)];
        float[] w = weight.ToArray();
        double[] relative = [.. Enumerable.Range(0, Columns).Select(j => Enumerable.Range(0, Rows).Average(i =>
            Math.Abs(w[i * Columns + j]) / (Enumerable.Range(0, Columns).Max(k => Math.Abs(w[i * Columns + k])) + 1e-6)))];
        double[] s = [.. mean.Select((x, j) => Math.Max(duo ? Math.Pow(x, r) / (Math.Pow(relative[j], 1 - r) + 1e-4) : Math.Pow(x, r), 1e-4))];
        double middle = Math.Sqrt(s.Max() * s.Min());
        return [.. s.Select(value => value / middle)];
    }

    private static double Loss(WeightMatrix weight, Grid grid, double[] s)
    {
        float[] w = weight.ToArray();
        double sum = 0;
        for (int row = 0; row < Rows; row++)
        {
            double scale = Enumerable.Range(0, Columns).Max(j => Math.Abs((float)(w[row * Columns + j] * s[j]))) / grid.Divisor;
            double[] d = [.. Enumerable.Range(0, Columns).Select(j =>
                scale * Math.Clamp(Math.Round((float)(w[row * Columns + j] * s[j]) / scale), grid.Minimum, grid.Maximum) / s[j]
                    - w[row * Columns + j])];
            sum += Enumerable.Range(0, Tokens).Sum(token => Math.Pow(d.Select((value, j) => value * Inputs[token * Columns + j]).Sum(), 2));
        }
        return sum / Tokens / Rows;
    }
}
