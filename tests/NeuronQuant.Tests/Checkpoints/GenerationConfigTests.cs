using NeuronQuant.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>End tokens of config.json and generation_config.json, some as Llama-3.1 and Qwen2.5 have them.</summary>
public sealed class GenerationConfigTests : IDisposable
{
    private readonly TestFiles _files = new();

    public void Dispose() => _files.Dispose();

    [Theory]
    [InlineData("2", null, new[] { 2 })]
    [InlineData("2", "{}", new[] { 2 })]
    [InlineData("2", """{"eos_token_id":7}""", new[] { 2, 7 })]
    [InlineData("151643", """{"eos_token_id":[151645,151643]}""", new[] { 151643, 151645 })]
    [InlineData("[128001,128008,128009]", """{"eos_token_id":[128001,128008,128009]}""", new[] { 128001, 128008, 128009 })]
    [InlineData("null", """{"eos_token_id":[7],"temperature":0.6}""", new[] { 7 })]
    [InlineData("2", """{"eos_token_id":null}""", new[] { 2 })]
    public void BothFilesCount(string own, string? generation, int[] expected)
    {
        if (generation is not null) _files.Text("generation_config.json", generation);
        _files.Text("tokenizer_config.json", """{"eos_token":"<|eot_id|>","chat_template":"<|eot_id|>"}"""); // Ends nothing by itself.
        Assert.Equal(expected, ModelConfig.Read(Config(own)).EndTokenIds);
    }

    [Theory]
    [InlineData("{", CheckpointFailure.ConfigNotJson)]
    [InlineData("[]", CheckpointFailure.ConfigNotJson)]
    [InlineData("""{"eos_token_id":"</s>"}""", CheckpointFailure.ConfigFieldType)]
    [InlineData("""{"eos_token_id":[1.5]}""", CheckpointFailure.ConfigFieldType)]
    public void ADamagedFileIsNamed(string generation, CheckpointFailure expected)
    {
        string path = _files.Text("generation_config.json", generation);
        var error = Assert.Throws<CheckpointException>(() => ModelConfig.Read(Config("2")));
        Assert.Equal((expected, path), (error.Failure, error.File));
    }

    private string Config(string end) => _files.Text("config.json", $$"""
        {"model_type": "llama", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 2, "num_attention_heads": 8,
         "vocab_size": 512, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "eos_token_id": {{end}}}
        """);
}
