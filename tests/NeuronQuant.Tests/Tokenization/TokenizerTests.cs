using System.Text.Json;
using System.Text.Json.Nodes;
using NeuronQuant.Tokenization;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Tokenization;

public class TokenizerTests
{
    // 259 ▁, 260 h, 261 i, 262 ▁h, 263 ▁hi, 264 hi
    private static readonly string[] Tokens = ["▁", "h", "i", "▁h", "▁hi", "hi"];
    private static readonly string[] Merges = ["▁ h", "h i", "▁h i"];

    [Theory]
    [InlineData("hi", new[] { 1, 263 })]
    [InlineData("hhi", new[] { 1, 262, 264 })] // (▁,h) goes before (h,i); ▁h h has no merge
    [InlineData("hi hi", new[] { 1, 263, 263 })]
    [InlineData("hi  i", new[] { 1, 263, 259, 259, 261 })]
    [InlineData("é", new[] { 1, 259, 3 + 0xC3, 3 + 0xA9 })] // byte fallback
    [InlineData("hi</s>hi", new[] { 1, 263, 2, 263 })] // the legacy normalizer works on each part
    [InlineData("", new[] { 1 })]
    public void LlamaWithNormalizer(string text, int[] expected) =>
        Assert.Equal(expected, TinyTokenizer.Load(TinyTokenizer.Llama2(Tokens, Merges)).Encode(text));

    [Theory]
    [InlineData("\"prepend_scheme\":\"first\"", new[] { 263, 2, 264, 263 }, "hihi hi")]
    [InlineData("\"prepend_scheme\":\"always\"", new[] { 263, 2, 263, 263 }, "hi hi hi")]
    [InlineData("\"prepend_scheme\":\"never\"", new[] { 264, 2, 264, 263 }, "hihi hi")]
    [InlineData("\"add_prefix_space\":true", new[] { 263, 2, 263, 263 }, "hi hi hi")]
    [InlineData("\"add_prefix_space\":false", new[] { 264, 2, 264, 263 }, "hihi hi")]
    [InlineData("\"prepend_scheme\":\"first\",\"split\":false", new[] { 263, 2, 264, 263 }, "hihi hi")]
    public void MetaspaceVariants(string options, int[] expected, string decoded)
    {
        string metaspace = $$"""{"type":"Metaspace","replacement":"▁",{{options}}}""";
        var json = TinyTokenizer.Llama2(Tokens, Merges, normalizer: null, metaspace);
        json["decoder"] = JsonNode.Parse(metaspace);
        var tokenizer = TinyTokenizer.Load(json);
        Assert.Equal(expected, tokenizer.Encode("hi</s>hi hi", addSpecial: false));
        Assert.Equal(decoded, tokenizer.Decode(expected));
    }

    [Fact]
    public void SplittingMetaspaceKeepsMergesWithinWords()
    {
        string[] tokens = ["▁", "h", "i", "i▁"];
        string metaspace = """{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":SPLIT}""";
        var whole = TinyTokenizer.Load(TinyTokenizer.Llama2(tokens, ["i ▁"], null, metaspace.Replace("SPLIT", "false")));
        var cut = TinyTokenizer.Load(TinyTokenizer.Llama2(tokens, ["i ▁"], null, metaspace.Replace("SPLIT", "true")));
        Assert.Equal([260, 262, 260], whole.Encode("hi h", false));
        Assert.Equal([260, 261, 259, 260], cut.Encode("hi h", false));
    }

    [Fact]
    public void LlamaDecodes()
    {
        var tokenizer = TinyTokenizer.Load(TinyTokenizer.Llama2(Tokens, Merges));
        Assert.Equal("hi hi", tokenizer.Decode([1, 263, 263, 2]));
        Assert.Equal("<s> hi hi</s>", tokenizer.Decode([1, 263, 263, 2], skipSpecial: false));
        Assert.Equal("é hi", tokenizer.Decode([3 + 0xC3, 3 + 0xA9, 263]));
        Assert.Equal("\uFFFD\uFFFD hi", tokenizer.Decode([3 + 0xC3, 3 + 0x41, 263])); // one for each byte of a run that is not UTF-8
    }

    // 256 he, 257 ll, 258 llo, 259 hello, 260 oW, 261 34, 262 Ġh, 263 aḠ(0x61 0xF0), 264 <|end|>
    private static readonly string[] ByteTokens = ["he", "ll", "llo", "hello", "oW", "34", "Ġh", "að"];

    private static readonly (string, string)[] ByteMerges = [("h", "e"), ("l", "l"), ("ll", "o"), ("o", "W"), ("3", "4"), ("Ġ", "h"), ("a", "ð")];

    [Theory]
    [InlineData(TinyTokenizer.Llama3, false, "hello", new int[] { 256, 258 })]
    [InlineData(TinyTokenizer.Llama3, true, "hello", new int[] { 259 })] // a whole token, which merging does not reach
    [InlineData(TinyTokenizer.Llama3, true, " hello", new int[] { 32, 256, 258 })] // Ġ h e: (h,e) has the lower rank
    [InlineData(TinyTokenizer.Llama3, false, "12345", new int[] { '1', '2', '3', '4', '5' })] // 123|45
    [InlineData(TinyTokenizer.Llama3, false, "345", new int[] { 261, '5' })]
    [InlineData(TinyTokenizer.Qwen2, false, "345", new int[] { '3', '4', '5' })] // each digit a piece
    [InlineData(TinyTokenizer.Nemo, false, "345", new int[] { '3', '4', '5' })]
    [InlineData(TinyTokenizer.Llama3, false, "oW", new int[] { 260 })]
    [InlineData(TinyTokenizer.Nemo, false, "oW", new int[] { 'o', 'W' })] // a new word begins at the capital
    [InlineData(TinyTokenizer.Llama3, false, "a\U0001D49C", new int[] { 263, 0x9D, 0x92, 0x9C })] // a letter beyond U+FFFF is a letter
    [InlineData(TinyTokenizer.Llama3, false, "a\U0001F600", new int[] { 'a', 0xF0, 0x9F, 0x98, 0x80 })] // an emoji is not
    [InlineData(TinyTokenizer.Llama3, false, "a  \n b", new int[] { 'a', ' ', ' ', '\n', ' ', 'b' })]
    [InlineData(TinyTokenizer.Llama3, false, "hello<|end|>hello", new int[] { 256, 258, 264, 256, 258 })]
    public void ByteLevelFamilies(string pattern, bool ignoreMerges, string text, int[] expected)
    {
        var tokenizer = TinyTokenizer.Load(TinyTokenizer.ByteLevel(pattern, ByteTokens, ByteMerges, ignoreMerges));
        Assert.Equal(expected, tokenizer.Encode(text));
        Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text), skipSpecial: false));
    }

    [Fact]
    public void TheOlderByteLevelHasItsOwnPattern()
    {
        var json = TinyTokenizer.ByteLevel("unused", ["Ġh", "12"], [("Ġ", "h"), ("1", "2")]);
        json["pre_tokenizer"] = JsonNode.Parse("""{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true}""");
        var processors = new JsonArray(json["post_processor"]!.DeepClone(), TinyTokenizer.Template("<|end|>", 258));
        json["post_processor"] = new JsonObject { ["type"] = "Sequence", ["processors"] = processors };
        var tokenizer = TinyTokenizer.Load(json);
        Assert.Equal([258, 256, 'o', 32, 257, '3'], tokenizer.Encode("ho 123"));
        Assert.Equal([256, 'o'], tokenizer.Encode("ho", addSpecial: false));
    }

    [Theory]
    [InlineData("Isolated", false, "a-b--c", "a|-|b|-|-|c")]
    [InlineData("Removed", false, "a-b--c", "a|b|c")]
    [InlineData("MergedWithPrevious", false, "a-b--c", "a-|b-|-|c")]
    [InlineData("MergedWithNext", false, "a-b--c", "a|-b|-|-c")]
    [InlineData("Contiguous", false, "a-b--c", "a|-|b|--|c")]
    [InlineData("Removed", true, "a-b--c", "-|-|-")]
    public void SplitBehaviours(string behaviour, bool invert, string text, string expected)
    {
        List<(int, int)> matches = [.. Enumerable.Range(0, text.Length).Where(i => text[i] == '-').Select(i => (i, 1))];
        Assert.Equal(expected, string.Join('|', SplitBehaviour.Cut(new Piece(text, true), matches, behaviour, invert).Select(piece => piece.Text)));
    }

    [Theory]
    [InlineData("a [X] b", false, false, false, "a |[X]| b")]
    [InlineData("a [X] b", true, false, false, "a| [X]| b")]
    [InlineData("a [X] b", false, true, false, "a |[X] |b")]
    [InlineData("a[X] [X]", true, true, false, "a|[X] |[X]")]
    [InlineData("a[X] [X]", false, false, true, "a[X] |[X]")]
    [InlineData("[X]é [X]", false, false, true, "[X]é |[X]")]
    [InlineData("[XY][X]", false, false, false, "[XY]|[X]")] // the longest of two
    public void AddedTokensAreFoundInText(string text, bool left, bool right, bool word, string expected)
    {
        AddedToken[] tokens = [new(0, "[X]", false, word, left, right), new(1, "[XY]", false)];
        var found = new AddedTokenFinder(tokens, content => content).Split(new Piece(text, true));
        Assert.Equal(expected, string.Join('|', found.Select(part => part.Piece.Text)));
    }

    [Fact]
    public void ANormalizedAddedTokenIsFoundInNormalizedText()
    {
        var json = TinyTokenizer.Llama2([.. Tokens, "i h"], Merges);
        json["added_tokens"]!.AsArray().Add(TinyTokenizer.Added(265, "i h", special: false, normalized: true));
        // Normalized, the token is "▁i▁h", and the text "▁h▁i▁hi".
        Assert.Equal([1, 262, 265, 261], TinyTokenizer.Load(json).Encode("h i hi"));
    }

    [Fact]
    public void StoriesAgreesWithItsReference()
    {
        string folder = RealModel.Folder();
        var tokenizer = Tokenizer.Load(folder);
        Assert.Equal((1, 2, 512), (tokenizer.Roles.Begin, tokenizer.Roles.End, tokenizer.VocabularySize));
        var reference = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "reference.json")))!;
        foreach (var (text, ids) in reference["token_ids"]!.AsObject()) Assert.Equal(ids.Deserialize<int[]>(), tokenizer.Encode(text));
        var likelihood = reference["mean_negative_log_likelihood"]!;
        Assert.Equal((int)likelihood["tokens_with_bos"]!, tokenizer.Encode((string)likelihood["text"]!).Length);
        foreach (var greedy in reference["greedy"]!.AsArray())
        {
            string text = (string)greedy!["text"]!;
            Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text)));
        }
    }
}
