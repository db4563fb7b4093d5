using System.Text.Json.Nodes;
using NeuronQuant.Tests.Checkpoints;
using NeuronQuant.Tokenization;
using Xunit;

namespace NeuronQuant.Tests.Tokenization;

/// <summary>
/// The tokens around a text by class and flags, worked out by hand from transformers 4 (tokenization_llama_fast.py, update_post_processor: the
/// template is bos with add_bos_token, the text, eos with add_eos_token; PreTrainedTokenizerFast leaves the post-processor alone).
/// </summary>
public class TokenizerSettingsTests
{
    private const int Begin = 1, End = 2, Hi = 259; // <s>, </s>, ▁h; the template of tokenizer.json is <s> and the text.

    [Theory]
    [InlineData("LlamaTokenizer", "", new[] { Begin, Hi })]
    [InlineData("LlamaTokenizer", "\"add_bos_token\":false", new[] { Hi })]
    [InlineData("LlamaTokenizer", "\"add_bos_token\":null", new[] { Hi })]
    [InlineData("LlamaTokenizer", "\"add_eos_token\":true", new[] { Begin, Hi, End })]
    [InlineData("LlamaTokenizerFast", "\"add_bos_token\":false,\"add_eos_token\":true", new[] { Hi, End })]
    [InlineData("LlamaTokenizerFast", "\"add_bos_token\":true,\"bos_token\":\"</s>\"", new[] { End, Hi })]
    [InlineData("CodeLlamaTokenizer", "\"add_bos_token\":false", new[] { Hi })]
    [InlineData("GemmaTokenizerFast", "\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"add_eos_token\":true", new[] { Begin, Hi, End })]
    [InlineData("PreTrainedTokenizerFast", "\"add_bos_token\":false,\"add_eos_token\":true", new[] { Begin, Hi })]
    [InlineData("Qwen2Tokenizer", "\"add_bos_token\":false", new[] { Begin, Hi })]
    [InlineData("GPT2Tokenizer", "\"add_bos_token\":false", new[] { Begin, Hi })]
    public void TheClassDecides(string name, string fields, int[] expected)
    {
        using var files = new TestFiles();
        Assert.Equal(expected, Load(files, $$"""{"tokenizer_class":"{{name}}"{{(fields.Length > 0 ? "," : "")}}{{fields}}}""").Encode("h"));
    }

    [Theory]
    [InlineData("ByteLevel")]
    [InlineData("none")]
    public void LlamasClassBuildsWhatTheFileLacks(string processor)
    {
        // DeepSeek-V3: LlamaTokenizerFast over a file whose post-processor adds nothing.
        using var files = new TestFiles();
        var json = Tiny();
        json["post_processor"] = processor == "none" ? null : JsonNode.Parse("""{"type":"ByteLevel","trim_offsets":false}""");
        Assert.Equal([Begin, Hi], Load(files, """{"tokenizer_class":"LlamaTokenizerFast","add_bos_token":true}""", json).Encode("h"));
        Assert.Equal([Hi], Load(files, """{"tokenizer_class":"PreTrainedTokenizerFast","add_bos_token":true}""", json).Encode("h"));
    }

    [Theory]
    [InlineData("""{"model_type":"llama"}""", new[] { Hi })]
    [InlineData("""{"model_type":"mistral"}""", new[] { Hi })]
    [InlineData("""{"model_type":"qwen2"}""", new[] { Begin, Hi })]
    [InlineData("""{"model_type":"llama","tokenizer_class":"PreTrainedTokenizerFast"}""", new[] { Begin, Hi })]
    public void WithoutAClassTheModelDecides(string config, int[] expected)
    {
        using var files = new TestFiles();
        files.Text("config.json", config);
        Assert.Equal(expected, Load(files, """{"add_bos_token":false}""").Encode("h"));
        Assert.Equal([Begin, Hi], Load(files, "{}").Encode("h"));
    }

    [Fact]
    public void AFlagWithoutItsTokenIsNamed()
    {
        using var files = new TestFiles();
        var error = Assert.Throws<TokenizerException>(() => Load(files, """{"tokenizer_class":"LlamaTokenizer","bos_token":null}"""));
        Assert.Equal(TokenizerFailure.WrongStructure, error.Failure);
        Assert.Contains("add_bos_token", error.Message, StringComparison.Ordinal);
        error = Assert.Throws<TokenizerException>(() => Load(files, """{"tokenizer_class":"GemmaTokenizer"}"""));
        Assert.Equal(TokenizerFailure.TokenUnknown, error.Failure);
        Assert.Contains("<bos>", error.Message, StringComparison.Ordinal);
    }

    private static JsonObject Tiny() => TinyTokenizer.Llama2(["▁h", "▁", "h"], ["▁ h"]);

    private static Tokenizer Load(TestFiles files, string settings, JsonObject? json = null)
    {
        files.Text("tokenizer.json", (json ?? Tiny()).ToJsonString());
        files.Text("tokenizer_config.json", settings);
        return Tokenizer.Load(files.Folder);
    }
}
