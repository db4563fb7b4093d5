using System.Text.Json.Nodes;
using NeuronQuant.Evaluation;
using NeuronQuant.Models;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>An added token beyond the embedding, as published tokenizers have them, stops only the text that holds it.</summary>
[Collection("notebooks")]
public sealed class TokenRangeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("neuronquant-").FullName;

    public TokenRangeTests()
    {
        foreach (string file in Directory.EnumerateFiles(Repository.PathOf("data", "demo-model"))) File.Copy(file, Path.Combine(_folder, Path.GetFileName(file)));
        string path = Path.Combine(_folder, "tokenizer.json");
        var tokenizer = JsonNode.Parse(File.ReadAllText(path))!;
        tokenizer["added_tokens"]!.AsArray().Add(JsonNode.Parse(
            """{"id": 600, "content": "<|beyond|>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}"""));
        File.WriteAllText(path, tokenizer.ToJsonString());
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task It_is_harmless_until_it_occurs()
    {
        var engine = EngineModel.Load(_folder);
        Assert.Equal(601, engine.Tokenizer.VocabularySize);
        var plain = EngineModel.Load(Repository.PathOf("data", "demo-model"));
        Assert.Equal(plain.Encode("Question: Tom has 3 apples."), engine.Encode("Question: Tom has 3 apples."));
        var error = Assert.Throws<ModelException>(() => engine.Encode("a <|beyond|> b"));
        Assert.Contains("the added token \"<|beyond|>\" with the id 600", error.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ModelException>(() => engine.Generate(["<|beyond|>"], new GenerationSettings([], 1)));
        Assert.Equal(0, (await Nq.Run(["eval", _folder, "--limit", "2"])).Code);
        Assert.Equal(0, (await Nq.Run(["generate", _folder, "--prompt", "Question:", "--max-new-tokens", "1"])).Code);
        var refused = await Nq.Run(["generate", _folder, "--prompt", "<|beyond|>"]);
        Assert.Equal(1, refused.Code);
        Assert.Contains("with the id 600", refused.Error, StringComparison.Ordinal);
        string texts = Path.Combine(_folder, "texts.jsonl");
        File.WriteAllText(texts, "{\"question\":\"<|beyond|>?\",\"answer\":\"1\"}\n");
        Assert.Contains("with the id 600", (await Nq.Run(["gptq", _folder, "--out", Path.Combine(_folder, "q"), "--calibration", texts])).Error, StringComparison.Ordinal);
    }
}
