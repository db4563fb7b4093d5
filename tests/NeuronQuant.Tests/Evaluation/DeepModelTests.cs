using System.Security.Cryptography;
using NeuronQuant.Display;
using NeuronQuant.Evaluation;
using NeuronQuant.Models;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>The deep model is what its manifest says, answers what its README says, and looks back over its context.</summary>
public class DeepModelTests
{
    private static readonly string Folder = Repository.PathOf("data", "deep-model");

    [Fact]
    public void The_files_are_those_of_the_manifest()
    {
        foreach (var file in Manifest.Load(Path.Combine(Folder, DemoTraining.ManifestName)).Files)
            Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(Path.Combine(Folder, file.Name)))), file.Sha256);
    }

    [Fact]
    public async Task It_solves_problems_and_finds_numbers_told_before()
    {
        var engine = EngineModel.Load(Folder);
        Assert.Equal((12, 1024), (engine.Model.Config.LayerCount, engine.Model.Config.MaxPositionEmbeddings));
        var task = WordProblemTask.Demo(DemoTask.Generate(DemoPart.HeldOut, DemoTask.GradingSeed, 60).Select(problem => problem.Problem));
        Assert.InRange((await Evaluator.Run(task, engine, cancellation: TestContext.Current.CancellationToken)).Main.Right, 54, 60); // 96.8 % of 1000.
        var documents = new DemoDocuments(engine.Tokenizer, 99, DemoPart.HeldOut);
        var asked = Enumerable.Range(0, 40).Select(_ => documents.Recall(700)).ToArray();
        int found = Scoring.Of(engine.Model, [.. asked.Select(one => (one.Ids, one.Ids.Length - one.AnswerLength))]).Count(score => score.IsGreedy);
        Assert.InRange(found, 36, 40); // All were found; by guessing it is one of ninety.
    }
}
