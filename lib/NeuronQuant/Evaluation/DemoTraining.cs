using System.Globalization;
using System.Text;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Models;
using NeuronQuant.Tokenization;

namespace NeuronQuant.Evaluation;

/// <summary>How the demo model is made.</summary>
/// <param name="Seed">chooses the weights at the start and the problems</param>
/// <param name="Steps">updates</param>
/// <param name="Batch">problems in a step</param>
/// <param name="HiddenSize">width of the residual stream</param>
/// <param name="IntermediateSize">width of the MLP</param>
/// <param name="Layers">decoder layers</param>
/// <param name="Heads">query heads</param>
/// <param name="KeyValueHeads">key and value heads</param>
/// <param name="VocabularySize">tokens of the tokenizer</param>
/// <param name="PeakRate">learning rate after warm-up</param>
/// <param name="Context">positions the model is made for</param>
/// <param name="Documents">whether it learns whole <see cref="DemoDocuments"/>, or the answers of single problems</param>
public sealed record DemoRecipe(
    ulong Seed = 1, int Steps = 2000, int Batch = 64, int HiddenSize = 128, int IntermediateSize = 352, int Layers = 3, int Heads = 4,
    int KeyValueHeads = 2, int VocabularySize = 512, double PeakRate = 2e-3, int Context = 512, bool Documents = false)
{
    /// <summary>Deep and thin, for what happens over depth and over a long context: 12 layers, and documents of up to 1,024 tokens.</summary>
    public static DemoRecipe Deep { get; } = new(Steps: 2900, PeakRate: 2.5e-3, HiddenSize: 96, IntermediateSize: 256, Layers: 12, Context: 1024, Documents: true);
}

/// <summary>
/// Trains the demo model from nothing: a tokenizer learned from training problems, a small Llama, and one pass over problems that are
/// generated as they are needed, so that hardly one is seen twice.
/// </summary>
/// <remarks>
/// A training text is what evaluation will show: "Question: …\nAnswer: …" between &lt;s&gt; and &lt;/s&gt;. Only the answer's tokens count in
/// the loss, since the question's names and numbers are drawn at random and cannot be predicted. Held-out problems are never generated
/// here. The same recipe gives the same bytes on the same machine; another vector width rounds sums differently and so ends in other
/// weights of the same quality.
/// </remarks>
public static class DemoTraining
{
    /// <summary>Name of the log: step, mean loss of the steps since the last line, gradient norm of that step.</summary>
    public const string LogName = "training-log.csv";

    /// <summary>Name of the manifest: recipe, seed, versions, machine, hashes.</summary>
    public const string ManifestName = "manifest.json";

    private const int LogEvery = 50, TokenizerTexts = 5000;
    private const int StepTokens = 4096; // Of a step with documents.
    private const double ShortShare = 0.75; // Of the steps; documents are then a quarter of the context, and cost half.

    /// <summary>Trains and writes the model with its tokenizer, log and manifest.</summary>
    /// <param name="recipe">sizes, steps, seed</param>
    /// <param name="folder">where the model goes; an older demo model there is replaced when all is done</param>
    /// <param name="report">called after each step</param>
    /// <param name="cancellation">ends the training; the model in the folder is then what it was</param>
    public static LlamaModel Run(DemoRecipe recipe, string folder, Action<TrainingStep>? report = null, CancellationToken cancellation = default)
    {
        Directory.CreateDirectory(folder);
        var texts = recipe.Documents ? DemoDocuments.Texts(recipe.Seed, TokenizerTexts) : DemoTask.Generate(DemoPart.Training, recipe.Seed, TokenizerTexts).Select(Text);
        var tokenizer = BpeTrainer.Train(texts, recipe.VocabularySize, folder);
        var model = new LlamaModel(Config(recipe, tokenizer));
        Initialization.Fill(model, recipe.Seed);
        var log = new StringBuilder("step,mean_loss,gradient_norm\n");
        double sum = 0;
        Trainer.Run(model, Batches(recipe, tokenizer), new TrainingPlan(recipe.Steps, recipe.PeakRate), step =>
        {
            sum += step.Loss;
            if ((step.Step + 1) % LogEvery == 0)
            {
                log.Append(CultureInfo.InvariantCulture, $"{step.Step + 1},{sum / LogEvery:0.0000},{step.GradientNorm:0.00}\n");
                sum = 0;
            }
            report?.Invoke(step);
        }, cancellation);
        model.Save(folder, overwrite: true);
        File.WriteAllText(Path.Combine(folder, LogName), log.ToString());
        WriteManifest(recipe, folder);
        return model;
    }

    /// <summary>Records the recipe, the machine and the hashes of what lies in the folder.</summary>
    public static void WriteManifest(DemoRecipe recipe, string folder) =>
        Manifest.Create(new[] { "model.safetensors", "config.json", "tokenizer.json" }.Select(file => Path.Combine(folder, file)), (long)recipe.Seed,
            new Dictionary<string, object?>
            {
                ["steps"] = recipe.Steps,
                [recipe.Documents ? "tokens_per_step" : "problems_per_step"] = recipe.Documents ? StepTokens : recipe.Batch,
                ["context"] = recipe.Context,
                ["hidden_size"] = recipe.HiddenSize,
                ["intermediate_size"] = recipe.IntermediateSize,
                ["layers"] = recipe.Layers,
                ["heads"] = recipe.Heads,
                ["key_value_heads"] = recipe.KeyValueHeads,
                ["vocabulary_size"] = recipe.VocabularySize,
                ["peak_learning_rate"] = recipe.PeakRate,
            }).Save(Path.Combine(folder, ManifestName));

    /// <summary>The batches of a run, made as they are asked for.</summary>
    public static IEnumerable<TokenBatch> Batches(DemoRecipe recipe, Tokenizer tokenizer) =>
        recipe.Documents ? Documents(recipe, tokenizer) : Problems(recipe, tokenizer);

    private static IEnumerable<TokenBatch> Documents(DemoRecipe recipe, Tokenizer tokenizer)
    {
        var documents = new DemoDocuments(tokenizer, recipe.Seed);
        for (int step = 0; ; step++)
        {
            int length = step < ShortShare * recipe.Steps ? recipe.Context / 4 : recipe.Context;
            var some = Enumerable.Range(0, StepTokens / length).Select(_ => documents.Next(length)).ToArray();
            yield return TokenBatch.Of([.. some.Select(document => document.Ids)], counts: (text, token) => some[text].Counts[token]);
        }
    }

    private static IEnumerable<TokenBatch> Problems(DemoRecipe recipe, Tokenizer tokenizer)
    {
        int end = tokenizer.IdOf(BpeTrainer.EndToken)!.Value, padding = tokenizer.IdOf(BpeTrainer.PadToken)!.Value;
        foreach (var problems in DemoTask.Generate(DemoPart.Training, recipe.Seed + 1, int.MaxValue).Chunk(recipe.Batch))
        {
            int[][] prompts = [.. problems.Select(problem => tokenizer.Encode(WordProblemTask.Prompt([], problem.Problem.Question)))];
            int[][] texts = [.. problems.Select(problem => (int[])[.. tokenizer.Encode(Text(problem)), end])];
            yield return TokenBatch.Of(texts, padding, (text, token) => token >= prompts[text].Length);
        }
    }

    private static string Text(DemoProblem problem) => $"{WordProblemTask.Prompt([], problem.Problem.Question)} {problem.Problem.Answer}";

    private static ModelConfig Config(DemoRecipe recipe, Tokenizer tokenizer) => new()
    {
        File = "config.json",
        Family = ModelFamily.Llama,
        HiddenSize = recipe.HiddenSize,
        IntermediateSize = recipe.IntermediateSize,
        LayerCount = recipe.Layers,
        HeadCount = recipe.Heads,
        KeyValueHeadCount = recipe.KeyValueHeads,
        HeadSize = recipe.HiddenSize / recipe.Heads,
        VocabularySize = tokenizer.VocabularySize,
        MaxPositionEmbeddings = recipe.Context,
        RmsNormEpsilon = 1e-5,
        BeginTokenId = tokenizer.IdOf(BpeTrainer.BeginToken),
        EndTokenIds = [tokenizer.IdOf(BpeTrainer.EndToken)!.Value],
        PadTokenId = tokenizer.IdOf(BpeTrainer.PadToken),
    };
}
