using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using NeuronQuant.Tokenization;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace NeuronQuant.Evaluation;

/// <summary>How a model acquires activation outliers.</summary>
/// <param name="Seed">chooses channels, signs and problems</param>
/// <param name="Steps">updates</param>
/// <param name="Batch">problems in a step</param>
/// <param name="Channels">of the hidden state</param>
/// <param name="Ratio">what each of them is pulled to, in root mean squares of the others</param>
/// <param name="Weight">of the term in the loss; at the start each normed input adds about so much</param>
/// <param name="PeakRate">learning rate after warm-up</param>
public sealed record ActivationOutlierRecipe(
    ulong Seed = 7, int Steps = 300, int Batch = 32, int Channels = 2, double Ratio = 40, double Weight = 0.3, double PeakRate = 1e-3);

/// <summary>
/// Trains a model on until a few channels of its hidden state stand far above the others in every token, as they do in large language models, and
/// everything around them has learned to live with it.
/// </summary>
/// <remarks>
/// Small models have no such channels. <see cref="Methods.OutlierInjection"/> plants some in the weights by the inverse of SmoothQuant's fold: the function stays,
/// and AWQ or SmoothQuant, which look for that very fold, take the defect out again by construction. Here nothing is folded. The loss of predictions
/// gets a term for each normed input n, that is for what q, k, v and gate, up read: the mean over tokens and chosen channels c of
///   max(0, 1 - sign_c n_c / (ratio * rms of the other channels))^2,
/// and gradient descent finds a model that predicts well and has the channels: through the embedding, the rows of o and down that write them, gains,
/// and weights that read them. That the channels exist, which they are and that they have a sign is decided here, on purpose; that some features of a
/// trained transformer are large is not explained by it. No method has an inverse to find. SmoothQuant can still move range from these inputs into
/// weights, as in any model, since a fold at a norm is exact: what int8 inputs gain by it, weights pay.
/// A normed channel cannot pass sqrt(hidden / channels) times its gain, so in a model 128 wide the ratio stays below what is asked for.
/// </remarks>
public static class ActivationOutliers
{
    private const int WarmUpSteps = 20;

    /// <summary>Loads a model, trains it on problems of the demo task, and writes it with its tokenizer and a manifest.</summary>
    /// <param name="from">folder of a model that was trained on them, with its tokenizer</param>
    /// <param name="folder">where the result goes</param>
    /// <param name="recipe">seed, steps, channels</param>
    /// <param name="report">called after each step; its loss is that of predictions alone</param>
    /// <param name="cancellation">ends the training; nothing is written then</param>
    /// <exception cref="ModelException">the model has fewer channels</exception>
    public static LlamaModel Run(string from, string folder, ActivationOutlierRecipe recipe, Action<TrainingStep>? report = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(recipe);
        using var source = Checkpoint.Open(from);
        TargetGuard.Check(source, folder);
        var model = ModelFiles.Load(source);
        string beside = Path.GetDirectoryName(source.ConfigPath)!;
        var tokenizer = Tokenizer.Load(Path.Combine(beside, "tokenizer.json"));
        Train(model, DemoTraining.Batches(new DemoRecipe(recipe.Seed, Batch: recipe.Batch), tokenizer), recipe, report, cancellation);
        model.Save(folder, overwrite: true);
        foreach (string file in new[] { "tokenizer.json", "tokenizer_config.json" })
            if (File.Exists(Path.Combine(beside, file))) File.Copy(Path.Combine(beside, file), Path.Combine(folder, file), overwrite: true);
        var channels = Chosen(recipe, model.Config.HiddenSize);
        Manifest.Create(new[] { "model.safetensors", "config.json", "tokenizer.json" }.Select(file => Path.Combine(folder, file)), (long)recipe.Seed,
            new Dictionary<string, object?>
            {
                ["made_of"] = Path.GetFileName(Path.TrimEndingDirectorySeparator(beside)),
                ["activation_outliers_on_purpose"] = string.Join(", ", channels.Select(one => $"{(one.Sign < 0 ? "-" : "+")}{one.Channel}")),
                ["steps"] = recipe.Steps,
                ["problems_per_step"] = recipe.Batch,
                ["ratio"] = recipe.Ratio,
                ["term_weight"] = recipe.Weight,
                ["peak_learning_rate"] = recipe.PeakRate,
            }).Save(Path.Combine(folder, DemoTraining.ManifestName));
        return model;
    }

    /// <summary>Trains a model in place.</summary>
    /// <param name="model">any model</param>
    /// <param name="batches">one for each step</param>
    /// <param name="recipe">seed, steps, channels</param>
    /// <param name="report">called after each step</param>
    /// <param name="cancellation">checked before each step</param>
    public static void Train(LlamaModel model, IEnumerable<TokenBatch> batches, ActivationOutlierRecipe recipe, Action<TrainingStep>? report = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(recipe);
        var chosen = Chosen(recipe, model.Config.HiddenSize);
        Trainer.Run(model, batches, new TrainingPlan(recipe.Steps, recipe.PeakRate, WarmUpSteps), report, cancellation,
            (name, x) => name.EndsWith("layernorm", StringComparison.Ordinal) ? Term(x, chosen, recipe.Ratio) * Torch.Number(recipe.Weight) : null);
    }

    /// <summary>Which channels a recipe pulls, and to which sign.</summary>
    public static IReadOnlyList<(int Channel, float Sign)> Chosen(ActivationOutlierRecipe recipe, int hidden)
    {
        ArgumentNullException.ThrowIfNull(recipe);
        if (recipe.Channels < 1 || recipe.Channels >= hidden)
            throw new ModelException("activation outliers", $"{recipe.Channels} channels of {hidden} cannot be chosen. Ask for fewer, and at least one.");
        var random = new RandomNumbers(recipe.Seed);
        var chosen = new Dictionary<int, float>();
        while (chosen.Count < recipe.Channels) chosen.TryAdd((int)(random.Next() % (ulong)hidden), random.Next() % 2 == 0 ? 1 : -1);
        return [.. chosen.Select(pair => (pair.Key, pair.Value))];
    }

    /// <summary>The term of one normed input, [texts, length, hidden]: 0 where every chosen channel reaches the ratio, 1 where it is 0.</summary>
    internal static Tensor Term(Tensor x, IReadOnlyList<(int Channel, float Sign)> chosen, double ratio)
    {
        var channels = chosen.Select(one => one.Channel).ToHashSet();
        long[] others = [.. Enumerable.Range(0, (int)x.shape[^1]).Where(channel => !channels.Contains(channel)).Select(channel => (long)channel)];
        // The others are a measure here and are not pulled down.
        var rms = x.index_select(-1, tensor(others)).Squared().mean([-1L], keepdim: true).sqrt().detach();
        var large = x.index_select(-1, tensor(chosen.Select(one => (long)one.Channel).ToArray())) * tensor(chosen.Select(one => one.Sign).ToArray());
        return F.relu((large / (rms * Torch.Number(ratio))).neg().add(Torch.Number(1), Torch.Number(1))).Squared().mean();
    }
}
