using System.Text;
using System.Text.Json.Nodes;
using NeuronQuant.Evaluation;
using NeuronQuant.Models;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>The demo model in folders as published ones are: end tokens in another file, added tokens beyond the embedding.</summary>
[Collection("notebooks")]
public sealed class PublishedFolderTests : IDisposable
{
    private const int End = 1, Pad = 2, Rows = 512; // Of the demo model.
    private static readonly string Model = Repository.PathOf("data", "demo-model");
    private static readonly EvaluationTask Task = WordProblemTask.Demo(
        DemoTask.Generate(DemoPart.HeldOut, DemoTask.GradingSeed, 60).Select(problem => problem.Problem));

    private readonly TestFiles _files = new();

    public PublishedFolderTests()
    {
        foreach (string name in new[] { "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json" })
            File.Copy(Path.Combine(Model, name), _files.PathOf(name));
    }

    public void Dispose() => _files.Dispose();

    [Theory]
    [InlineData("""{"eos_token_id":1}""")]
    [InlineData("""{"eos_token_id":[1,2]}""")]
    public async Task An_end_token_of_generation_config_ends_an_answer(string generation)
    {
        Change("config.json", config => config["eos_token_id"] = Pad);
        _files.Text("generation_config.json", generation);
        var expected = await Evaluator.Run(Task, EngineModel.Load(Model));
        var result = await Evaluator.Run(Task, EngineModel.Load(_files.Folder));
        Assert.Equal(expected.Samples.Select(sample => sample.Output), result.Samples.Select(sample => sample.Output));
        Assert.InRange(result.Main.Right, 40, 60);
    }

    [Fact]
    public async Task An_added_token_beyond_the_embedding_fails_only_where_it_occurs()
    {
        Change("tokenizer.json", tokenizer => tokenizer["added_tokens"]!.AsArray().Add(Tokenization.TinyTokenizer.Added(Rows, "<image>")));
        var model = EngineModel.Load(_files.Folder);
        var answers = await model.Generate([Task.Items[0].Prompt], new GenerationSettings([], 20));
        Assert.Equal((await EngineModel.Load(Model).Generate([Task.Items[0].Prompt], new GenerationSettings([], 20)))[0].Text, answers[0].Text);
        foreach (var use in new Func<object>[] { () => model.Encode("a <image>"), () => Perplexity.Measure(model, "a <image>") })
        {
            var error = Assert.Throws<ModelException>(use);
            Assert.Contains("512 rows, but the text holds the added token \"<image>\" with the id 512", error.Message, StringComparison.Ordinal);
        }
        await Assert.ThrowsAsync<ModelException>(() => model.Generate(["<image>"], new GenerationSettings([], 20)));
        await Assert.ThrowsAsync<ModelException>(() => model.Score([new Continuation("a", "<image>")]));
        Assert.Equal(0, (await Nq.Run(["generate", _files.Folder, "--prompt", "Question:", "--max-new-tokens", "4"])).Code);
        var named = await Nq.Run(["generate", _files.Folder, "--prompt", "<image>", "--max-new-tokens", "4"]);
        Assert.Equal(1, named.Code);
        Assert.Contains("512", named.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stop_longer_than_a_dozen_tokens_ends_an_answer()
    {
        var model = EngineModel.Load(Model);
        string whole = (await model.Generate([Task.Items[0].Prompt], new GenerationSettings([], 128)))[0].Text;
        var settings = new GenerationSettings([whole[..^2]], 128);
        Assert.True(model.Encode(whole).Length > 20);
        Assert.StartsWith(whole[..^2], (await model.Generate([Task.Items[0].Prompt], settings))[0].Text, StringComparison.Ordinal);
        Assert.NotEqual(whole, (await model.Generate([Task.Items[0].Prompt], settings))[0].Text);
    }

    [Theory]
    [InlineData("-0.1")]
    [InlineData("2.1")]
    [InlineData("NaN")]
    [InlineData("Infinity")]
    public async Task A_temperature_outside_its_range_is_a_usage_error(string temperature)
    {
        var (code, _, error) = await Nq.Run(["generate", Model, "--prompt", "a", $"--temperature={temperature}"]);
        Assert.Equal(2, code);
        Assert.Contains("--temperature", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_text_that_is_not_utf8_has_no_perplexity()
    {
        string path = _files.Bytes("text.txt", [.. "Carl has 8 nut"u8, 0xE9, .. "s."u8]);
        var (code, output, error) = await Nq.Run(["eval", Model, "--task", "perplexity", "--data", path]);
        Assert.Equal((1, ""), (code, output));
        Assert.Contains("byte 0xE9 at offset 14", error, StringComparison.Ordinal);
        byte[] utf16 = [0xFF, 0xFE, .. Encoding.Unicode.GetBytes("Carl has 8 nuts.")];
        var marked = await Nq.Run(["eval", Model, "--task", "perplexity", "--json", "--data", _files.Bytes("marked.txt", utf16)]);
        var plain = await Nq.Run(["eval", Model, "--task", "perplexity", "--json", "--data", _files.Text("plain.txt", "Carl has 8 nuts.")]);
        Assert.Equal((0, plain.Output), (marked.Code, marked.Output));
    }

    private void Change(string file, Action<JsonObject> change)
    {
        var json = JsonNode.Parse(File.ReadAllText(_files.PathOf(file)))!.AsObject();
        change(json);
        _files.Text(file, json.ToJsonString());
    }
}
