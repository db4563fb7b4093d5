using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Evaluation;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Selection;
using NeuronQuant.Sensitivity;
using NeuronQuant.Tensors;
using NeuronQuant.Tests.Models;
using Xunit;

namespace NeuronQuant.Tests.Selection;

public class BudgetTests
{
    [Fact]
    public void The_choice_equals_brute_force_on_random_cases()
    {
        var random = new Random(4);
        for (int round = 0; round < 300; round++)
        {
            int count = 1 + random.Next(11), sizes = 1 + random.Next(5);
            KnapsackItem[] items = [.. Enumerable.Range(0, count).Select(_ => new KnapsackItem(random.Next(8) == 0 ? 0 : random.NextDouble(), 3 + 7 * random.Next(sizes)))];
            long budget = random.Next(0, (int)items.Sum(item => item.Cost) + 5);
            var chosen = Knapsack.Choose(items, budget);
            Assert.InRange(chosen.Sum(i => items[i].Cost), 0, budget);
            Assert.Equal(Best(items, budget), chosen.Sum(i => items[i].Value), 1e-12);
        }
    }

    [Fact]
    public void The_sizes_of_a_12B_model_take_no_time()
    {
        long[] sizes = [31_436_800, 20_950_016, 146_743_296, 73_379_840]; // q+k+v, o, gate+up, down of Mistral-Nemo, less their scales.
        var random = new Random(1);
        KnapsackItem[] items = [.. Enumerable.Range(0, 160).Select(i => new KnapsackItem(random.NextDouble() * sizes[i % 4], sizes[i % 4]))];
        var chosen = Knapsack.Choose(items, 1_500_000_000);
        double greedy = 0;
        long left = 1_500_000_000;
        foreach (var item in items.OrderByDescending(item => item.Value / item.Cost))
            if (item.Cost <= left) (greedy, left) = (greedy + item.Value, left - item.Cost);
        Assert.InRange(chosen.Sum(i => items[i].Value), greedy, double.MaxValue);
        Assert.InRange(chosen.Sum(i => items[i].Cost), 1_400_000_000, 1_500_000_000);
    }

    [Fact]
    public void A_budget_in_bytes_or_bits_is_held_and_used()
    {
        var (model, profile) = Make();
        var scores = ModuleScores.Of(profile, Metric.Int8Mse);
        long weights = profile.Linear.Sum(entry => entry.Parameters), least = weights + 4 * profile.Linear.Sum(entry => (long)entry.Rows);
        Assert.Equal(least, BudgetSelection.ByBytes(profile, scores, least).Bytes);
        var middle = BudgetSelection.ByBytes(profile, scores, least + weights / 3);
        Assert.InRange(middle.Bytes, least + weights / 6, least + weights / 3);
        Assert.InRange(middle.LostScore, 0, 0.9 * middle.TotalScore);
        var whole = BudgetSelection.ByAverageBits(profile, scores, 16);
        Assert.Equal((profile.Linear.Count(), 0.0, 2 * weights), (whole.Selection.Kept.Count, whole.LostScore, whole.Bytes));
        Assert.InRange(BudgetSelection.ByAverageBits(profile, scores, 9.1).Selection.AverageBits, 8.1, 9.1);
        Assert.Throws<ArgumentException>(() => BudgetSelection.ByBytes(profile, scores, least - 1));
        Assert.Throws<ArgumentException>(() => BudgetSelection.ByBytes(profile, ModuleScores.Of(profile, Metric.Kurtosis), least));
        Assert.Equal(15, model.Blocks.Sum(block => block.Linears.Count) + 1);
    }

    [Fact]
    public void Ties_keep_fused_projections_together()
    {
        var (_, profile) = Make();
        var scores = ModuleScores.Of(profile, Metric.Int8Mse);
        foreach (double bits in new[] { 8.5, 9.5, 11, 13 })
        {
            var kept = BudgetSelection.ByAverageBits(profile, scores, bits).Selection.Kept;
            foreach (int layer in new[] { 0, 1 })
            {
                string[] types = [.. kept.Where(module => module.Layer == layer).Select(module => module.Type)];
                Assert.Contains(types.Count(type => type is "self_attn.q_proj" or "self_attn.k_proj" or "self_attn.v_proj"), new[] { 0, 3 });
                Assert.Contains(types.Count(type => type is "mlp.gate_proj" or "mlp.up_proj"), new[] { 0, 2 });
            }
            Assert.InRange(BudgetSelection.ByAverageBits(profile, scores, bits, tied: false).LostScore, 0, BudgetSelection.ByAverageBits(profile, scores, bits).LostScore + 1e-12);
        }
    }

    [Fact]
    public void Scores_of_a_running_model_equal_their_definitions()
    {
        var (model, _) = Make();
        int[][] texts = [TestModels.Tokens(12, 1), TestModels.Tokens(9, 2)];
        float[] before = [.. model.Blocks[1]["mlp.up_proj"].Weight.Values];
        var up = new ModuleName(1, "mlp.up_proj");
        float[] rounded = RoundToNearest.Quantize(WeightMatrix.Of("w", before, 27, 20), Grid.Nxd(4)).Dequantize();

        double activation = 0;
        double[] gradient = new double[before.Length];
        foreach (int[] text in texts)
        {
            float[] inputs = [];
            model.Logits(new TokenBatch(text, [], 1), (name, output) => inputs = name == "layers.1.post_attention_layernorm" ? output.ToFloats() : inputs);
            for (int row = 0; row < text.Length; row++)
                for (int i = 0; i < before.Length; i++) activation += Math.Pow(inputs[row * 20 + i % 20] * (double)(before[i] - rounded[i]), 2) / 21;
            model.LossAndGradients(TokenBatch.Of([text]));
        }
        float[] summed = model.Blocks[1]["mlp.up_proj"].Weight.Gradient!.ToFloats();
        for (int i = 0; i < gradient.Length; i++) gradient[i] = summed[i] / 2;
        Assert.Equal(1, ModelScores.ActivationWeightedError(model, texts, Grid.Nxd(4))[up] / activation, 1e-5);
        Assert.Equal(1, ModelScores.GradientTimesError(model, texts, Grid.Nxd(4))[up] / gradient.Select((g, i) => Math.Abs(g * (before[i] - rounded[i]))).Sum(), 1e-5);
        Assert.Null(model.Blocks[1]["mlp.up_proj"].Weight.Gradient);

        var divergence = ModelScores.Divergence(model, texts, Grid.Nxd(4));
        Assert.Equal(15, divergence.Values.Count);
        foreach (var module in new[] { up, new ModuleName(0, "self_attn.k_proj"), new ModuleName(null, "lm_head") })
            Assert.Equal(1, divergence[module] / Divergence(model, texts, module), 1e-4); // The reference is float64 throughout.
        Assert.Equal(before, model.Blocks[1]["mlp.up_proj"].Weight.ToArray());
    }

    [Fact]
    public void No_text_is_refused_by_every_score_and_study()
    {
        var (model, _) = Make();
        foreach (int[][] texts in new int[][][] { [], [TestModels.Tokens(12, 1), []] })
            foreach (var score in new Action[]
            {
                () => ModelScores.ActivationWeightedError(model, texts), () => ModelScores.GradientTimesError(model, texts), () => ModelScores.Divergence(model, texts),
                () => ModelScores.DivergenceOf(model, texts, []), () => InputScores.Divergence(model, texts, InputFormat.Int8), () => InputRanges.Measure(model, texts),
                () => new InputReference(model, texts).Dispose(), () => CacheRange.Measure(model, texts), () => CacheStudy.Measure(model, texts),
            }) Assert.Contains("at least one text", Assert.Throws<ModelException>(score).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_weight_that_cannot_be_quantized_leaves_the_model_as_it_was()
    {
        var (model, _) = Make();
        int[][] texts = [TestModels.Tokens(12, 1)];
        float[] first = model.Linears.First().Weight.ToArray(), last = model.Linears.Last().Weight.ToArray();
        last[0] = float.NaN;
        model.Linears.Last().Weight.Set(last);
        Assert.Throws<QuantizationException>(() => ModelScores.DivergenceOf(model, texts, [], Grid.Nxd(3)));
        Assert.Equal(first, model.Linears.First().Weight.ToArray());
    }

    [Fact]
    public void Keeping_the_chosen_modules_lowers_the_divergence()
    {
        var (model, profile) = Make();
        int[][] texts = [TestModels.Tokens(12, 1), TestModels.Tokens(12, 2)];
        var scores = ModelScores.Divergence(model, texts, Grid.Nxd(3));
        double all = ModelScores.DivergenceOf(model, texts, [], Grid.Nxd(3));
        var chosen = BudgetSelection.ByAverageBits(profile, scores, 12, tied: false);
        double kept = ModelScores.DivergenceOf(model, texts, chosen.Selection.Kept, Grid.Nxd(3));
        Assert.InRange(kept, 0, 0.7 * all);
        Assert.Equal(0, ModelScores.DivergenceOf(model, texts, scores.Values.Keys, Grid.Nxd(3)), 1e-12);
        Assert.Equal([all, kept], ModelScores.DivergencesOf(model, texts, [[], chosen.Selection.Kept], Grid.Nxd(3)));
        Assert.Contains("2 x 2 cells", RankCorrelation.ToHeatMap(scores, ModuleScores.Of(profile, Metric.Int8Mse)).ToText(), StringComparison.Ordinal);
    }

    [Fact]
    public void Spearman_is_the_correlation_of_ranks_with_ties_shared()
    {
        Assert.Equal(1, RankCorrelation.Spearman([1, 2, 30, 400], [0.1, 0.2, 0.21, 0.5]), 1e-12);
        Assert.Equal(-1, RankCorrelation.Spearman([1, 2, 3], [3, 2, 1]), 1e-12);
        Assert.Equal(0.8207826816681233, RankCorrelation.Spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]), 1e-12); // scipy.stats.spearmanr
        Assert.Equal(-0.1757575757575758, // Intelligence quotient and hours of television, the worked example of textbooks.
            RankCorrelation.Spearman([106, 86, 100, 101, 99, 103, 97, 113, 112, 110], [7, 0, 27, 50, 28, 29, 20, 12, 6, 17]), 1e-12);
        Assert.Throws<ArgumentException>(() => RankCorrelation.Spearman([1], [1]));
    }

    private static double Best(KnapsackItem[] items, long budget)
    {
        double best = 0;
        for (int set = 0; set < 1 << items.Length; set++)
        {
            var chosen = items.Where((_, i) => (set >> i & 1) == 1);
            if (chosen.Sum(item => item.Cost) <= budget) best = Math.Max(best, chosen.Sum(item => item.Value));
        }
        return best;
    }

    // KL by its definition, on the float64 model.
    private static double Divergence(LlamaModel model, int[][] texts, ModuleName module)
    {
        ReferenceModel original = new(model), changed = new(model);
        double[] values = changed.Values[$"{module.HuggingFaceName}.weight"];
        int columns = model.Config.HiddenSize;
        float[] rounded = RoundToNearest.Quantize(WeightMatrix.Of("w", Array.ConvertAll(values, value => (float)value), values.Length / columns, columns), Grid.Nxd(4)).Dequantize();
        for (int i = 0; i < values.Length; i++) values[i] = rounded[i];
        double sum = 0;
        foreach (int[] text in texts)
        {
            double[][] p = LogProbabilities(original.Logits(text)), q = LogProbabilities(changed.Logits(text));
            for (int row = 0; row < text.Length; row++) sum += p[row].Zip(q[row], (a, b) => Math.Exp(a) * (a - b)).Sum();
        }
        return sum / texts.Sum(text => text.Length);
    }

    private static double[][] LogProbabilities(double[] logits) => [.. logits.Chunk(37).Select(row =>
    {
        double total = Math.Log(row.Sum(Math.Exp));
        return row.Select(z => z - total).ToArray();
    })];

    private static (LlamaModel Model, ModelProfile Profile) Make()
    {
        var model = TestModels.Random(TestModels.Config());
        return (model, ModelProfile.Of(model.Blocks.SelectMany(block => block.Linears).Append(model.Head)
            .Select(linear => ModuleMetrics.Measure(ModuleName.Parse(linear.Name), linear.ToWeightMatrix()))));
    }
}
