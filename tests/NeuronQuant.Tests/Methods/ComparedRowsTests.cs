using NeuronQuant.Evaluation;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Tokenization;
using NeuronQuant.Quantization;
using NeuronQuant.Selection;
using NeuronQuant.Tests.Models;
using NeuronQuant.Tuning;
using Xunit;

namespace NeuronQuant.Tests.Methods;

/// <summary>The rows of the blog's table on the demo model at three bits: what differs between them, and that learning helps where nobody learned.</summary>
public sealed class ComparedRowsTests
{
    private const string Kept = "layers.1.self_attn";
    private static readonly string Model = Repository.PathOf("data", "demo-model"), Texts = Repository.PathOf("data", "demo-calibration.jsonl");

    [Fact]
    public void At_three_bits_learned_rounding_beats_nearest_in_every_block_and_on_problems_that_nobody_has_seen()
    {
        var engine = EngineModel.Load(Model);
        var (model, grid, calibration) = (engine.Model, Grid.Nxd(3), Calibration(engine, 32));
        var plan = QuantizationPlan.Create(QuantizationPlan.LinearModules(model.Config), false, grid.Format, Granularity.PerChannelSymmetric, []);
        var tuned = AutoRound.Tune(model, TuningGrids.Of(plan, grid), calibration, TuningRecipe.Light);
        Assert.Equal(3, tuned.Blocks.Count);
        Assert.All(tuned.Blocks, block => Assert.InRange(block.TunedLoss, 0, 0.9 * block.RoundedLoss)); // 0.45 to 0.65 was seen.
        var learned = QuantizedCopy.RoundToNearest(model, grid);
        tuned.ApplyTo(learned);
        // The model was trained on answers, so only their tokens have a loss that means something. A few wrong answers make up most of it: a
        // hundred problems would be too few to tell 0.0070 from 0.0112 nats.
        var problems = DemoTask.Generate(DemoPart.HeldOut, seed: 11, 1000).Select(problem => problem.Problem).ToArray();
        var batches = problems.Chunk(100).Select(part => Answers(part, engine.Tokenizer)).ToArray();
        double Loss(LlamaModel of) => batches.Average(of.Loss);

        Assert.InRange(Loss(learned), Loss(model), Loss(QuantizedCopy.RoundToNearest(model, grid)));
    }

    [Fact]
    public void The_rows_differ_in_integers_and_in_what_is_kept_and_in_nothing_else()
    {
        var engine = EngineModel.Load(Model);
        var learned = new AutoRoundMethod(TuningRecipe.Light with { Iterations = 2 });
        var rows = new[] { "rtn", "autoround", "selective", "autoround+selective", "gptq" }.Select(name => MethodRegistry.Parse(name, learned)).ToArray();
        var grids = rows.ToDictionary(row => row.Name, row => ModelGrids.Of(engine.Model.Config, Grid.Nxd(3), row.Selective ? [Kept] : []));
        var made = rows.ToDictionary(row => row.Name, row => row.Method.Apply(engine.Model, grids[row.Name], new MethodInput(Calibration(engine, 4))).ToModel());
        foreach (var (name, model) in made)
        {
            Assert.Equal(made["rtn"].Head.Weight.ToArray(), model.Head.Weight.ToArray());
            Assert.Equal(engine.Model.Embedding.ToArray(), model.Embedding.ToArray());
            float[] query = model.Blocks[1]["self_attn.q_proj"].Weight.ToArray(), original = engine.Model.Blocks[1]["self_attn.q_proj"].Weight.ToArray();
            Assert.Equal(name.Contains("selective", StringComparison.Ordinal), query.SequenceEqual(original));
            Assert.True(query.Take(model.Config.HiddenSize).Distinct().Count() <= 7 || query.SequenceEqual(original)); // -3 to 3 times one scale.
            Assert.Equal(name is "rtn" or "selective", model.Blocks[0]["mlp.up_proj"].Weight.Values.SequenceEqual(made["rtn"].Blocks[0]["mlp.up_proj"].Weight.Values));
        }
        double weights = engine.Model.Blocks.SelectMany(block => block.Linears).Append(engine.Model.Head).Sum(linear => (double)linear.Out * linear.In);
        double kept = engine.Model.Blocks[1].Linears.Take(4).Sum(linear => (double)linear.Out * linear.In);
        Assert.Equal([3, 3, 3 + 13 * kept / weights, 3 + 13 * kept / weights, 3], rows.Select(row => ModelGrids.AverageBits(engine.Model, grids[row.Name])));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_selection_within_a_budget_of_bits_is_within_it_in_the_table_too(bool tied)
    {
        var model = TestModels.Random(TestModels.Config(tied: tied));
        int[][] texts = [TestModels.Tokens(12, 1), TestModels.Tokens(12, 2)];
        var chosen = BudgetSelection.ByAverageBits(ModelScores.Profile(model), ModelScores.Divergence(model, texts), 10).Selection;
        double bits = ModelGrids.AverageBits(model, ModelGrids.Of(model.Config, Grid.Nxd(), chosen.Entries));
        Assert.Equal(chosen.AverageBits, bits, 1e-9);
        Assert.InRange(bits, 8.01, 10);
    }

    private static TokenBatch Answers(WordProblem[] problems, Tokenizer tokenizer)
    {
        int[] start = [.. problems.Select(problem => tokenizer.Encode(WordProblemTask.Prompt([], problem.Question)).Length)];
        return TokenBatch.Of(CalibrationTexts.OfProblems(problems, tokenizer), counts: (text, position) => position >= start[text]);
    }

    private static CalibrationSet Calibration(EngineModel engine, int samples)
    {
        var texts = CalibrationTexts.Read(Texts, engine.Tokenizer, 512).Take(samples).ToArray();
        return CalibrationSet.Of(texts, texts.Max(text => text.Length), samples, engine.Tokenizer.Roles.Pad);
    }
}
