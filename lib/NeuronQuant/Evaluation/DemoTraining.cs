using System.Diagnostics;
using System.Globalization;
using System.Text;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
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
/// <param name="WarmUpSteps">steps in which the rate grows to its peak</param>
/// <param name="FinalFraction">part of the peak that the rate ends with</param>
/// <param name="Deviation">of the weights at the start</param>
/// <param name="DataType">float32 or bfloat16: what a step multiplies in; weights are stepped in float32</param>
public sealed record DemoRecipe(
    ulong Seed = 1, int Steps = 2000, int Batch = 64, int HiddenSize = 128, int IntermediateSize = 352, int Layers = 3, int Heads = 4,
    int KeyValueHeads = 2, int VocabularySize = 512, double PeakRate = 2e-3, int Context = 512, bool Documents = false, int WarmUpSteps = 100,
    double FinalFraction = 0.1, double Deviation = Initialization.Deviation, string DataType = "float32")
{
    /// <summary>Deep and thin, for what happens over depth and over a long context: 12 layers, and documents of up to 1,024 tokens.</summary>
    /// <remarks>
    /// In runs of two minutes steps of 2,048 tokens learned more than steps of 4,096, and weights that start at 0.7 / sqrt(hidden size) more than at 0.02. In
    /// bfloat16 the same minutes have more steps.
    /// </remarks>
    public static DemoRecipe Deep { get; } = new(
        Steps: 6800, PeakRate: 3e-3, Layers: 12, Context: 1024, Documents: true, WarmUpSteps: 200, FinalFraction: 0.02, Deviation: 0.06, DataType: "bfloat16");
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
    private const int StepTokens = 2048; // Of a step with documents: eight of a quarter of the context, or two of the whole, which take twice as long.
    private const int LongOneIn = 5; // Of the second half of the steps.

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
        var model = new LlamaModel(Config(recipe, tokenizer), Placement.Parse(recipe.DataType, "cpu"));
        Initialization.Fill(model, recipe.Seed, recipe.Deviation);
        long start = Stopwatch.GetTimestamp();
        var log = new StringBuilder("step,mean_loss,gradient_norm\n");
        double sum = 0;
        Trainer.Run(model, Batches(recipe, tokenizer), new TrainingPlan(recipe.Steps, recipe.PeakRate, recipe.WarmUpSteps, recipe.FinalFraction), step =>
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
        WriteManifest(recipe, folder, Stopwatch.GetElapsedTime(start));
        return model;
    }

    // The recipe, the machine and the hashes of what lies in the folder.
    private static void WriteManifest(DemoRecipe recipe, string folder, TimeSpan took) =>
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
                ["warm_up_steps"] = recipe.WarmUpSteps,
                ["final_fraction"] = recipe.FinalFraction,
                ["deviation"] = recipe.Deviation,
                ["dtype"] = recipe.DataType,
                ["training_seconds"] = Math.Round(took.TotalSeconds),
            }).Save(Path.Combine(folder, ManifestName));

    /// <summary>The batches of a run, made as they are asked for.</summary>
    public static IEnumerable<TokenBatch> Batches(DemoRecipe recipe, Tokenizer tokenizer) =>
        recipe.Documents ? Documents(recipe, tokenizer) : Problems(recipe, tokenizer);

    private static IEnumerable<TokenBatch> Documents(DemoRecipe recipe, Tokenizer tokenizer)
    {
        var documents = new DemoDocuments(tokenizer, recipe.Seed);
        for (int step = 0; ; step++)
        {
            int length = step >= recipe.Steps / 2 && step % LongOneIn == 0 ? recipe.Context : recipe.Context / 4;
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
