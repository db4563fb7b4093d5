using System.Text.Json.Nodes;
using NeuronQuant.Tokenization;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Tokenization;

/// <summary>Files that are damaged, contradict themselves or ask for what is not supported: each a named error.</summary>
public class TokenizerHostileTests
{
    [Theory]
    [InlineData("{", TokenizerFailure.NotJson)]
    [InlineData("[]", TokenizerFailure.NotJson)]
    [InlineData("""{"model":{"vocab":{"a":0,"a":1},"merges":[]}}""", TokenizerFailure.NotJson)] // a name twice
    [InlineData("""{"model":{"vocab":{"\ud800":0},"merges":[]}}""", TokenizerFailure.NotJson)]
    [InlineData("{}", TokenizerFailure.WrongStructure)]
    [InlineData("""{"model":{"type":"BPE","merges":[]}}""", TokenizerFailure.WrongStructure)]
    [InlineData("""{"model":{"vocab":[],"merges":[]}}""", TokenizerFailure.WrongStructure)]
    [InlineData("""{"model":{"vocab":{"a":0}}}""", TokenizerFailure.WrongStructure)]
    [InlineData("""{"model":{"vocab":{"a":0},"merges":["a"]}}""", TokenizerFailure.WrongStructure)]
    [InlineData("""{"model":{"vocab":{"a":0},"merges":[["a",1]]}}""", TokenizerFailure.WrongStructure)]
    [InlineData("""{"model":{"vocab":{"a":0},"merges":[],"fuse_unk":1}}""", TokenizerFailure.WrongStructure)]
    [InlineData("""{"model":{"vocab":{},"merges":[]}}""", TokenizerFailure.VocabularyEmpty)]
    [InlineData("""{"model":{"vocab":{"a":-1},"merges":[]}}""", TokenizerFailure.IdOutOfRange)]
    [InlineData("""{"model":{"vocab":{"a":1.5},"merges":[]}}""", TokenizerFailure.IdOutOfRange)]
    [InlineData("""{"model":{"vocab":{"a":99999999999},"merges":[]}}""", TokenizerFailure.IdOutOfRange)]
    [InlineData("""{"model":{"vocab":{"a":2000000000},"merges":[]}}""", TokenizerFailure.IdOutOfRange)]
    [InlineData("""{"model":{"vocab":{"a":0,"b":0},"merges":[]}}""", TokenizerFailure.DuplicateId)]
    [InlineData("""{"model":{"vocab":{"a":0,"b":1},"merges":["a b"]}}""", TokenizerFailure.MergeUnknown)]
    [InlineData("""{"model":{"vocab":{"a":0,"ab":1},"merges":["a b"]}}""", TokenizerFailure.MergeUnknown)]
    [InlineData("""{"model":{"vocab":{"a":0},"merges":[],"unk_token":"?"}}""", TokenizerFailure.TokenUnknown)]
    [InlineData("""{"model":{"vocab":{"a":0},"merges":[],"byte_fallback":true}}""", TokenizerFailure.ByteMissing)]
    [InlineData("""{"model":{"type":"Unigram","vocab":{"a":0},"merges":[]}}""", TokenizerFailure.Unsupported)]
    [InlineData("""{"model":{"vocab":{"a":0},"merges":[],"dropout":0.1}}""", TokenizerFailure.Unsupported)]
    [InlineData("""{"model":{"vocab":{"a":0},"merges":[],"end_of_word_suffix":"</w>"}}""", TokenizerFailure.Unsupported)]
    [InlineData("""{"model":{"vocab":{"a":0},"merges":[],"brand_new":true}}""", TokenizerFailure.Unsupported)]
    public void DamagedModels(string json, TokenizerFailure expected)
    {
        using var files = new TestFiles();
        string path = files.Text("tokenizer.json", json);
        var error = Assert.Throws<TokenizerException>(() => Tokenizer.Load(path));
        Assert.Equal(expected, error.Failure);
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("normalizer", """{"type":"Lowercase"}""", TokenizerFailure.Unsupported, "Lowercase")]
    [InlineData("normalizer", """{"type":"Sequence","normalizers":[{"type":"NFKC"}]}""", TokenizerFailure.Unsupported, "normalizers[0]")]
    [InlineData("pre_tokenizer", """{"type":"Whitespace"}""", TokenizerFailure.Unsupported, "Whitespace")]
    [InlineData("pre_tokenizer", """{"type":"ByteLevel","use_magic":true}""", TokenizerFailure.Unsupported, "use_magic")]
    [InlineData("pre_tokenizer", """{"type":"Metaspace","replacement":"▁","prepend_scheme":"last"}""", TokenizerFailure.Unsupported, "last")]
    [InlineData("pre_tokenizer", """{"type":"Metaspace","replacement":"__"}""", TokenizerFailure.WrongStructure, "__")]
    [InlineData("pre_tokenizer", """{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"}""", TokenizerFailure.Pattern, "pre_tokenizer.pattern")]
    [InlineData("pre_tokenizer", """{"type":"Split","pattern":{"Regex":"a?+"},"behavior":"Isolated"}""", TokenizerFailure.Pattern, "a?+")]
    [InlineData("pre_tokenizer", """{"type":"Split","pattern":{},"behavior":"Isolated"}""", TokenizerFailure.WrongStructure, "Regex")]
    [InlineData("pre_tokenizer", """{"type":"Split","pattern":{"Regex":"a"},"behavior":"Melted"}""", TokenizerFailure.Unsupported, "Melted")]
    [InlineData("post_processor", """{"type":"BertProcessing"}""", TokenizerFailure.Unsupported, "BertProcessing")]
    [InlineData("post_processor", """{"type":"TemplateProcessing","single":[],"special_tokens":{}}""", TokenizerFailure.WrongStructure, "0 texts")]
    [InlineData("post_processor",
        """{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}}],"special_tokens":{"x":{"id":"x","ids":[9],"tokens":["x"]}}}""",
        TokenizerFailure.TokenUnknown, "9")]
    [InlineData("decoder", """{"type":"WordPiece"}""", TokenizerFailure.Unsupported, "WordPiece")]
    [InlineData("added_tokens", """[{"id":1,"content":"a"}]""", TokenizerFailure.DuplicateId, "\"a\"")]
    [InlineData("added_tokens", """[{"id":0,"content":"<s>"}]""", TokenizerFailure.DuplicateId, "<s>")]
    [InlineData("added_tokens", """[{"id":1,"content":""}]""", TokenizerFailure.WrongStructure, "empty")]
    [InlineData("version", "\"2.0\"", TokenizerFailure.Unsupported, "2.0")]
    [InlineData("chat", "{}", TokenizerFailure.Unsupported, "chat")]
    public void DamagedComponents(string section, string json, TokenizerFailure expected, string named)
    {
        var root = new JsonObject
        {
            ["model"] = JsonNode.Parse("""{"type":"BPE","vocab":{"a":0},"merges":[]}"""),
            [section] = JsonNode.Parse(json),
        };
        var error = Assert.Throws<TokenizerException>(() => TinyTokenizer.Load(root));
        Assert.Equal(expected, error.Failure);
        Assert.Contains(section, error.Message, StringComparison.Ordinal);
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AMissingFileIsNamed() =>
        Assert.Equal(TokenizerFailure.NotFound, Assert.Throws<TokenizerException>(() => Tokenizer.Load("no-such-file.json")).Failure);

    [Fact]
    public void ARoleOutsideTheVocabularyIsRefused()
    {
        using var files = new TestFiles();
        files.Text("tokenizer.json", """{"model":{"vocab":{"a":0},"merges":[]}}""");
        files.Text("tokenizer_config.json", """{"bos_token":{"content":"<s>"}}""");
        Assert.Equal(TokenizerFailure.TokenUnknown, Assert.Throws<TokenizerException>(() => Tokenizer.Load(files.Folder)).Failure);
    }

    [Fact]
    public void UnknownCharactersAndIdsAreNamed()
    {
        var tokenizer = TinyTokenizer.Load(JsonNode.Parse("""{"model":{"vocab":{"a":0},"merges":[]}}""")!);
        Assert.Equal([0, 0], tokenizer.Encode("aa"));
        var character = Assert.Throws<TokenizerException>(() => tokenizer.Encode("ab"));
        Assert.Equal(TokenizerFailure.CharacterUnknown, character.Failure);
        Assert.Contains("U+0062", character.Message, StringComparison.Ordinal);
        Assert.Equal(TokenizerFailure.IdUnknown, Assert.Throws<TokenizerException>(() => tokenizer.Decode([1])).Failure);
    }

    [Theory]
    [InlineData(true, new[] { 0, 1, 0 })]
    [InlineData(false, new[] { 0, 1, 1, 0 })]
    public void UnknownCharactersMayBeFused(bool fuse, int[] expected)
    {
        var json = JsonNode.Parse("""{"model":{"vocab":{"a":0,"?":1},"merges":[],"unk_token":"?"}}""")!;
        json["model"]!["fuse_unk"] = fuse;
        Assert.Equal(expected, TinyTokenizer.Load(json).Encode("abca"));
    }
}
