using System.Text.Json.Nodes;
using NeuronQuant.Evaluation;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Checkpoints;
using NeuronQuant.Tests.Neuron;
using Xunit;
using Perplexity = NeuronQuant.Evaluation.Perplexity;

namespace NeuronQuant.Tests.Evaluation;

public class EngineModelTests
{
    [Fact]
    public async Task A_real_model_writes_and_scores_what_its_reference_says()
    {
        var reference = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(RealModel.Folder(), "reference.json")))!;
        var model = EngineModel.Load(RealModel.Folder());
        Assert.StartsWith("stories260K ", model.Name, StringComparison.Ordinal);
        string[] prompts = [.. reference["greedy"]!.AsArray().Select(one => (string)one!["prompt"]!)];
        var answers = await model.Generate(prompts, new GenerationSettings([], 100));
        for (int i = 0; i < prompts.Length; i++)
        {
            string expected = (string)reference["greedy"]![i]!["text"]!, found = prompts[i] + answers[i].Text;
            int length = Math.Min(expected.Length, found.Length);
            Assert.True(length > 150);
            Assert.Equal(expected[..length], found[..length]);
        }
        var nll = reference["mean_negative_log_likelihood"]!;
        var perplexity = Perplexity.Measure(model, (string)nll["text"]!);
        Assert.Equal((double)nll["nats_per_token"]!, perplexity.NatsPerToken, 1e-4);
    }

    [Fact]
    public async Task A_stop_ends_the_answer_and_likelihoods_agree_with_perplexity()
    {
        var model = EngineModel.Load(RealModel.Folder());
        var settings = new GenerationSettings(["Lily"], 100);
        var answer = (await model.Generate(["Once upon a time"], settings))[0];
        Assert.False(answer.Truncated);
        Assert.Equal(", there was a little girl named ", settings.Cut(answer.Text));
        const string text = "Once upon a time, there was a little girl named Lily.";
        var perplexity = Perplexity.Measure(model, text);
        var score = (await model.Score([new Continuation("Once", text["Once".Length..])]))[0];
        int first = model.Encode("Once").Length;
        var head = (await model.Score([new Continuation("", "Once")]))[0];
        Assert.Equal(-perplexity.Nats, score.LogLikelihood + head.LogLikelihood, 1e-3);
        Assert.Equal(model.Encode(text).Length - first, score.Tokens);
    }

    [Fact]
    public async Task A_prompt_beyond_the_context_is_refused_not_cut()
    {
        var model = EngineModel.Load(RealModel.Folder());
        string longText = string.Concat(Enumerable.Repeat("Once upon a time. ", 200));
        var error = await Assert.ThrowsAsync<EvaluationException>(() => model.Generate([longText], new GenerationSettings([], 10)));
        Assert.Equal(EvaluationFailure.ContextTooShort, error.Failure);
    }

    [Fact]
    public void A_quantized_copy_has_dequantized_weights_and_leaves_the_rest_alone()
    {
        using var files = new TinyModel();
        var model = LlamaModel.Load(files.Folder);
        var copy = QuantizedCopy.RoundToNearest(model, Grid.Nxd(bits: 4), ["layers.0.mlp"]);
        var weight = model.Blocks[1]["mlp.up_proj"].Weight;
        var expected = RoundToNearest.Quantize(WeightMatrix.Of("w", weight.ToArray(), weight.Rows, weight.Columns), Grid.Nxd(bits: 4)).Dequantize();
        Assert.Equal(expected, copy.Blocks[1]["mlp.up_proj"].Weight.ToArray());
        Assert.NotEqual(model.Head.Weight.ToArray(), copy.Head.Weight.ToArray());
        Assert.Equal(model.Blocks[0]["mlp.up_proj"].Weight.ToArray(), copy.Blocks[0]["mlp.up_proj"].Weight.ToArray());
        Assert.Equal(model.Norm.ToArray(), copy.Norm.ToArray());
        Assert.Equal(model.Embedding.ToArray(), copy.Embedding.ToArray());
        Assert.All(Enumerable.Range(0, weight.Rows), row => Assert.True(expected.Skip(row * weight.Columns).Take(weight.Columns).Distinct().Count() <= 15));
        Assert.Equal(Format.Int8, Grid.Nxd(4).Format);
    }

    [Fact]
    public void A_tokenizer_larger_than_the_embedding_is_refused()
    {
        using var files = new TinyModel();
        var tokenizer = NeuronQuant.Tokenization.BpeTrainer.Train(["a b c"], 259, files.PathOf("tokenizer"));
        Assert.Contains("different models", Assert.Throws<ModelException>(() => new EngineModel(LlamaModel.Load(files.Folder), tokenizer, "x")).Message, StringComparison.Ordinal);
    }
}
