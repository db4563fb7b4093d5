using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Selection;
using NeuronQuant.Tensors;
using NeuronQuant.Tests.Methods;
using NeuronQuant.Tests.Models;
using TorchSharp;
using Xunit;

namespace NeuronQuant.Tests.Selection;

/// <summary>Rounded inputs of linear modules: known numbers, plain loops in float64, and who shares a scale with whom.</summary>
public class InputScoresTests
{
    [Fact]
    public void A_token_with_an_outlier_gives_the_known_numbers()
    {
        double s = 100 / 127.0;
        double[] expected = [s, -s, 0, 100]; // 1 / s = 1.27, -0.5 / s = -0.635, 0.25 / s = 0.3175
        double[] found = Round(InputFormat.Int8, [1, -0.5, 0.25, 100], 1, 1);
        Assert.All(expected.Zip(found), pair => Assert.Equal(pair.First, pair.Second, 1e-12));
        Assert.Equal([127, -64, 32, 127], Round(InputFormat.Int8, [10, -5, 2.5, 10], 1, 1).Select(x => Math.Round(x * 12.7))); // -63.5 goes to the even code
        Assert.Equal(new double[4], Round(InputFormat.Int8, new double[4], 1, 1));
    }

    [Fact]
    public void NxDIs_scale_of_a_position_is_shared_by_the_batch()
    {
        double[] alone = Round(InputFormat.E4M3Neuron, [1.1, 0.3], 1, 1), beside = Round(InputFormat.E4M3Neuron, [1.1, 0.3, 7, 1], 2, 1);
        Assert.NotEqual(alone, beside[..2]);
        Assert.Equal(Round(InputFormat.E4M3, [1.1, 0.3], 1, 1), Round(InputFormat.E4M3, [1.1, 0.3, 7, 1], 2, 1)[..2]);
        // Positions do not share it.
        Assert.Equal(alone, Round(InputFormat.E4M3Neuron, [1.1, 0.3, 7, 1], 1, 2)[..2]);
        Assert.Throws<TorchException>(() => Torch.Run(() => InputFormat.Int8.Round(torch.zeros(3, 4))));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Divergence_equals_plain_loops(int number)
    {
        var format = InputFormat.All[number];
        var model = FoldCase.Model(ModelFamily.Qwen2, false, outputBiases: true);
        int[][] texts = [TestModels.Tokens(11, 1), TestModels.Tokens(6, 2)];
        var scores = InputScores.Divergence(model, texts, format);
        Assert.Equal(14, scores.Values.Count);
        foreach (string module in new[] { "layers.0.self_attn.k_proj", "layers.1.mlp.gate_proj", "layers.1.mlp.down_proj" })
            Assert.Equal(Expected(model, texts, name => name == $"model.{module}", format), scores[ModuleName.Parse(module)], 1e-9);
        Assert.Equal(Expected(model, texts, _ => true, format), InputScores.DivergenceOf(model, texts, format), 1e-9);
        ModuleName[] kept = [.. scores.Values.Keys.Where(module => module.Type.StartsWith("mlp", StringComparison.Ordinal))];
        Assert.Equal(Expected(model, texts, name => name.Contains("self_attn"), format), InputScores.DivergenceOf(model, texts, format, kept), 1e-9);
    }

    [Fact]
    public void A_budget_keeps_the_modules_that_lose_most_and_all_of_them_lose_nothing()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        int[][] texts = [TestModels.Tokens(11, 1), TestModels.Tokens(6, 2)];
        var scores = InputScores.Divergence(model, texts, InputFormat.Int8);
        var chosen = InputScores.Choose(model, scores, 11);
        Assert.InRange(chosen.Selection.AverageBits, 8.5, 11);
        double all = InputScores.DivergenceOf(model, texts, InputFormat.Int8), some = InputScores.DivergenceOf(model, texts, InputFormat.Int8, chosen.Selection.Kept);
        Assert.InRange(some, 0, 0.9 * all);
        Assert.Equal(0, InputScores.DivergenceOf(model, texts, InputFormat.Int8, InputScores.Choose(model, scores, 16).Selection.Kept), 1e-12);
    }

    [Fact]
    public void The_crest_factor_is_that_of_the_worst_token()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        int[] text = TestModels.Tokens(11, 1);
        double expected = 0;
        new ReferenceModel(model).Logits(text, (name, x) =>
        {
            if (name == "layers.1.mlp") expected = x.Chunk(x.Length / 11).Max(token => token.Max(Math.Abs) / Math.Sqrt(token.Average(value => value * value)));
        });
        Assert.Equal(expected, InputScores.CrestFactor(model, [text])[ModuleName.Parse("layers.1.mlp.down_proj")], 1e-9);
    }

    [Fact]
    public void Ranges_equal_plain_loops_and_an_outlier_is_one_by_magnitude_tokens_and_layers()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        int[][] texts = [TestModels.Tokens(11, 1), TestModels.Tokens(6, 2)];
        // A channel far above 6 in every token of one of two layers.
        float[] gains = model.Blocks[0].MiddleNorm.ToArray();
        gains[3] = 500;
        model.Blocks[0].MiddleNorm.Set(gains);
        var seen = new Dictionary<string, List<double[]>>();
        foreach (int[] text in texts)
            new ReferenceModel(model).Logits(text, (name, x) =>
            {
                if (!seen.TryGetValue(name, out var tokens)) seen[name] = tokens = [];
                tokens.AddRange(x.Chunk(x.Length / text.Length));
            });
        var ranges = InputRanges.Measure(model, texts);
        Assert.Equal(8, ranges.Inputs.Count);
        foreach (var range in ranges.Inputs)
        {
            var tokens = seen[$"layers.{range.Layer}.{range.Input}"];
            int channels = tokens[0].Length;
            double[] maxima = [.. Enumerable.Range(0, channels).Select(j => tokens.Max(token => Math.Abs(token[j])))];
            for (int j = 0; j < channels; j++)
            {
                Assert.True(Math.Abs(maxima[j] - range.Maxima[j]) < 1e-9 * Math.Max(1, maxima[j]), $"layers.{range.Layer}.{range.Input}, {j}: {maxima[j]} and {range.Maxima[j]}");
                Assert.Equal(tokens.Count(token => Math.Abs(token[j]) >= 6), range.TokensAtSix[j]);
            }
            double[] sorted = [.. maxima.Order()];
            Assert.Equal(sorted[^1] / ((sorted[(channels - 1) / 2] + sorted[channels / 2]) / 2), range.Ratio, 1e-9);
        }
        Assert.Contains(3, ranges.OutlierFeatures);
        Assert.Contains(3, ranges[ModuleName.Parse("layers.0.mlp.up_proj")].AtSix);
        Assert.Equal(Enumerable.Range(0, model.Config.HiddenSize).Where(j => ranges.Inputs.Where(range => range.Input.EndsWith("norm", StringComparison.Ordinal))
            .Any(range => seen[$"layers.{range.Layer}.{range.Input}"].Count(token => Math.Abs(token[j]) >= 6) >= 0.06 * 17)), ranges.OutlierFeatures);
    }

    [Fact]
    public void A_reference_serves_several_formats_and_choices_and_a_text_that_fails_leaves_nothing()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        int[][] texts = [TestModels.Tokens(11, 1), TestModels.Tokens(6, 2)];
        using var reference = new InputReference(model, texts);
        foreach (var format in InputFormat.All)
            foreach (var kept in new[] { [], new[] { ModuleName.Parse("layers.0.mlp.down_proj") } })
                Assert.Equal(InputScores.DivergenceOf(model, texts, format, kept), reference.Divergence(format, kept));
        Assert.Throws<ModelException>(() => new InputReference(model, [texts[0], [100_000]]));
    }

    private static double[] Round(InputFormat format, double[] x, int texts, int length) =>
        Torch.Run(() => format.Round(torch.tensor(x).view(texts, length, -1)).data<double>().ToArray());

    private static double Expected(LlamaModel model, int[][] texts, Func<string, bool> reaches, InputFormat format)
    {
        double sum = 0;
        foreach (int[] text in texts)
        {
            double[] plain = new ReferenceModel(model).Logits(text), rounded = new ReferenceModel(model)
            {
                Read = (name, x) => reaches(name) && !name.StartsWith("lm_head", StringComparison.Ordinal) ? Rounded(format, x) : x,
            }.Logits(text);
            for (int t = 0; t < text.Length; t++) sum += Divergence(plain[(t * 37)..((t + 1) * 37)], rounded[(t * 37)..((t + 1) * 37)]);
        }
        return sum / texts.Sum(text => text.Length);
    }

    // One token's input, in plain loops.
    private static double[] Rounded(InputFormat format, double[] x)
    {
        double largest = format == InputFormat.Int8 ? 127 : format == InputFormat.E4M3 ? 448 : 240, s = Math.Max(x.Max(Math.Abs) / largest, format.Floor);
        return [.. x.Select(value => s * (format == InputFormat.Int8 ? Math.Clamp(Math.Round(value / s), -127, 127) : E4M3(value / s, largest)))];
    }

    private static double E4M3(double x, double largest)
    {
        double step = x == 0 ? 1 : Math.Pow(2, Math.Max(Math.Floor(Math.Log2(Math.Abs(x))), -6) - 3);
        return Math.Clamp(Math.Round(x / step) * step, -largest, largest);
    }

    private static double Divergence(double[] a, double[] b)
    {
        double[] p = Shares(a), q = Shares(b);
        return p.Zip(q, (x, y) => x * Math.Log(x / y)).Sum();
    }

    private static double[] Shares(double[] z) => [.. z.Select(value => Math.Exp(value - z.Max()) / z.Sum(other => Math.Exp(other - z.Max())))];
}
