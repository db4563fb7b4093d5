using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Evaluation;
using NeuronQuant.Models;
using NeuronQuant.Tests.Checkpoints;
using NeuronQuant.Tests.Methods;
using NeuronQuant.Tests.Models;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>Outliers that a model acquires: the term and its gradient against plain loops in float64, and what training does to a small model.</summary>
[Collection("notebooks")] // nq runs here.
public sealed class ActivationOutliersTests : IDisposable
{
    private static readonly string Model = Repository.PathOf("data", "demo-model");

    private readonly TestFiles _files = new();

    public void Dispose() => _files.Dispose();

    // The mean over tokens and chosen channels of max(0, 1 - sign n_c / (ratio rms(others)))^2, n [tokens * hidden].
    private static double Term(double[] n, IReadOnlyList<(int Channel, float Sign)> chosen, double ratio, int hidden)
    {
        double sum = 0;
        double[][] tokens = [.. n.Chunk(hidden)];
        foreach (double[] token in tokens)
        {
            double[] others = [.. token.Where((_, j) => chosen.All(one => one.Channel != j))];
            double rms = Math.Sqrt(others.Sum(x => x * x) / others.Length);
            foreach (var (channel, sign) in chosen) sum += Math.Pow(Math.Max(0, 1 - sign * token[channel] / (ratio * rms)), 2);
        }
        return sum / tokens.Length / chosen.Count;
    }

    [Fact]
    public void The_gradient_is_that_of_the_loss_with_the_term_and_the_loss_told_is_without()
    {
        var model = FoldCase.Model(ModelFamily.Llama, false);
        var (hidden, recipe) = (model.Config.HiddenSize, new ActivationOutlierRecipe(Channels: 2, Ratio: 5, Weight: 0.7));
        var chosen = ActivationOutliers.Chosen(recipe, hidden);
        var batch = TokenBatch.Of([TestModels.Tokens(9, 3)]);
        // A gain of the last norm before the head: what it changes reaches one term, and no measure of another.
        string name = $"model.layers.{model.Blocks.Count - 1}.post_attention_layernorm.weight";
        double Objective(double gain)
        {
            var reference = new ReferenceModel(model);
            reference.Values[name][chosen[0].Channel] += gain;
            double terms = 0;
            reference.Logits(batch.Tokens.AsSpan(), (module, n) =>
            {
                if (module.EndsWith("layernorm", StringComparison.Ordinal)) terms += recipe.Weight * Term(n, chosen, recipe.Ratio, hidden);
            });
            return reference.Loss(batch) + terms;
        }
        double told = model.LossAndGradients(batch, (module, n) => module.EndsWith("layernorm", StringComparison.Ordinal)
            ? ActivationOutliers.Term(n, chosen, recipe.Ratio) * recipe.Weight : null);
        Assert.Equal(new ReferenceModel(model).Loss(batch), told, 1e-9);
        double found = model.Blocks[^1].MiddleNorm.Gradient![chosen[0].Channel].item<double>();
        model.DropGradients();
        const double step = 1e-5;
        // Central differences are off by some step^2.
        Assert.Equal((Objective(step) - Objective(-step)) / (2 * step), found, 1e-7);
    }

    [Fact]
    public void Training_raises_the_chosen_channels_and_gives_the_same_bytes_again()
    {
        var recipe = new ActivationOutlierRecipe(Steps: 100, Ratio: 6, Weight: 1, PeakRate: 5e-3);
        int[][] texts = [TestModels.Tokens(12, 1), TestModels.Tokens(12, 2)];
        LlamaModel Trained()
        {
            var model = TestModels.Random(TestModels.Config(ModelFamily.Llama, false));
            ActivationOutliers.Train(model, Enumerable.Range(0, recipe.Steps).Select(_ => TokenBatch.Of(texts)), recipe);
            return model;
        }
        var (model, again) = (Trained(), Trained());
        foreach (var (one, other) in model.Parameters.Zip(again.Parameters)) Assert.Equal(one.ToArray(), other.ToArray());
        double Terms(LlamaModel of)
        {
            double sum = 0;
            foreach (int[] text in texts)
                new ReferenceModel(of).Logits(text, (module, n) => sum += module.EndsWith("layernorm", StringComparison.Ordinal)
                    ? Term(n, ActivationOutliers.Chosen(recipe, of.Config.HiddenSize), recipe.Ratio, of.Config.HiddenSize) : 0);
            return sum / texts.Length / 4; // Two layers with two norms.
        }
        Assert.InRange(Terms(TestModels.Random(TestModels.Config(ModelFamily.Llama, false))), 0.9, 1.3);
        Assert.InRange(Terms(model), 0, 0.6);
        Assert.Throws<ModelException>(() => ActivationOutliers.Chosen(recipe with { Channels = 0 }, 8));
        Assert.Throws<ModelException>(() => ActivationOutliers.Chosen(recipe with { Channels = 8 }, 8));
    }

    [Fact]
    public async Task From_the_command_line_the_folder_is_a_model_that_says_what_was_done_to_it()
    {
        string folder = _files.PathOf("outliers");
        string[] asked = ["train", "--activation-outliers", Model, "--out", folder, "--steps", "2", "--batch", "2", "--seed", "3"];
        var (code, output, error) = await Nq.Run(asked);
        Assert.True(code == 0, error);
        int[] channels = [.. ActivationOutliers.Chosen(new ActivationOutlierRecipe(3), 128).Select(one => one.Channel).Order()];
        Assert.Contains($"channels {channels[0]}, {channels[1]} were made large on purpose", output, StringComparison.Ordinal);
        var parameters = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "manifest.json")))!["parameters"]!;
        Assert.Equal(("demo-model", 2), ((string)parameters["made_of"]!, int.Parse((string)parameters["steps"]!)));
        Assert.Contains($"{channels[0]}", (string)parameters["activation_outliers_on_purpose"]!, StringComparison.Ordinal);
        Assert.Equal(0, (await Nq.Run(["generate", folder, "--prompt", "Question:", "--max-new-tokens", "2"])).Code);
        Assert.NotEqual(0, (await Nq.Run(asked)).Code); // A checkpoint is there.
        Assert.NotEqual(0, (await Nq.Run(["train", "--activation-outliers", folder, "--out", folder, "--overwrite"])).Code);
        Assert.Equal(2, (await Nq.Run([.. asked, "--overwrite", "--deep"])).Code);
    }
}
