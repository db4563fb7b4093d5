using System.Text.Json.Nodes;
using NeuronQuant.Benchmarks;
using NeuronQuant.Tests.Checkpoints;
using NeuronQuant.Tokenization;
using Xunit;

namespace NeuronQuant.Tests.Tokenization;

/// <summary>Ids and decoded text equal those of Hugging Face's Rust library, through Tokenizers.DotNet 1.4.1, computed beside ours.</summary>
public class RustOracleTests
{
    // DeepSeek-V3's three patterns, whose second holds ranges of Han and kana.
    private static readonly string[] DeepSeek =
    [
        @"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|"
            + "\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
    ];

    [Fact]
    public void TheDemoModel() => Compare(Repository.PathOf("data", "demo-model", "tokenizer.json"), ScriptTexts.All(3000));

    [Fact]
    public void Stories() => Compare(Path.Combine(RealModel.Folder(), "tokenizer.json"), ScriptTexts.All(3000));

    [Theory]
    [InlineData(TinyTokenizer.Llama3)]
    [InlineData(TinyTokenizer.Qwen2)]
    [InlineData(TinyTokenizer.Nemo)]
    public void PatternsOfTheFamilies(string pattern) => Compare(WithPieces(pattern), ScriptTexts.All(1000));

    [Fact]
    public void DeepSeeksPatterns()
    {
        var json = WithPieces(DeepSeek);
        Compare(json, ScriptTexts.All(1000).Append(" \U00010380").Append("漢\U00010380字").Append("\U00020000漢"));
        // One piece, so that the space and the letter's first byte can merge: the letter is no Han of the second pattern.
        Assert.Equal([256, 0x90, 0x8E, 0x80], TinyTokenizer.Load(json).Encode(" \U00010380"));
    }

    [Theory]
    [InlineData(true, false, false)]
    [InlineData(false, true, false)]
    [InlineData(true, true, false)]
    [InlineData(true, true, true)]
    [InlineData(false, false, true)]
    public void AddedTokensBesideEachOther(bool left, bool right, bool word)
    {
        var json = TinyTokenizer.ByteLevel(TinyTokenizer.Llama3, [], []);
        var added = json["added_tokens"]!.AsArray();
        string[] contents = ["[X]", "  ", "\t ", " [Y]"];
        for (int i = 0; i < contents.Length; i++)
        {
            bool strips = i != 1;
            added.Add(TinyTokenizer.Added(257 + i, contents[i], special: false, left && strips, right && strips, singleWord: word && i == 0));
        }
        var random = new Random(7);
        string[] parts = ["[X]", "[Y]", " ", "  ", "\t", "\n", "a", "é", "\u00A0", "_"];
        Compare(json, Enumerable.Range(0, 500).Select(_ => Random(random, parts, 9)));
    }

    [Fact]
    public void WhiteSpaceThatATokenTookIsFoundAgain()
    {
        // The token takes the three spaces along; two of them are a token of their own, and the last is text again.
        var json = TinyTokenizer.ByteLevel(TinyTokenizer.Llama3, [], []);
        json["added_tokens"]!.AsArray().Add(TinyTokenizer.Added(257, "[X]", rstrip: true));
        json["added_tokens"]!.AsArray().Add(TinyTokenizer.Added(258, "  "));
        Assert.Equal([257, 258, ' ', 'a'], TinyTokenizer.Load(json).Encode("[X]   a"));
        Compare(json, ["[X]   a", "[X]  a", "[X] a", "[X]  [X]"]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void AStripOfSpaces(int start)
    {
        var json = TinyTokenizer.Llama2(["▁", "a", "▁a", "▁▁"], ["▁ a", "▁ ▁"]);
        json["decoder"]!["decoders"]![3]!["start"] = start;
        var random = new Random(8);
        string[] texts = [.. Enumerable.Range(0, 300).Select(_ => Random(random, [" ", " ", " ", "a", "é"], 12))];
        Compare(json, texts);
        var tokenizer = TinyTokenizer.Load(json);
        foreach (string text in texts)
        {
            int[] ids = tokenizer.Encode(text);
            var stream = tokenizer.Stream();
            Assert.Equal(tokenizer.Decode(ids), string.Concat(ids.Select(stream.Add)) + stream.Finish());
        }
    }

    private static string Random(Random random, string[] parts, int most) =>
        string.Concat(Enumerable.Range(0, random.Next(1, most)).Select(_ => parts[random.Next(parts.Length)]));

    // Every pair of a space and the first byte of a letter is a token, so that ids show where the text was cut.
    private static JsonObject WithPieces(params string[] patterns)
    {
        string[] leads = [.. Enumerable.Range(0xC2, 0xF5 - 0xC2).Select(value => TinyTokenizer.ByteCharacters[value])];
        string[] first = [.. new[] { "ð" }, .. leads.Where(lead => lead != "ð")];
        string[] letters = [.. Enumerable.Range(0x80, 0x40).Select(value => TinyTokenizer.ByteCharacters[value])];
        var merges = first.Select(lead => ("Ġ", lead)).Concat(letters.SelectMany(letter => leads.Select(lead => (letter, lead)))).ToArray();
        var json = TinyTokenizer.ByteLevel(patterns[0], [.. merges.Select(merge => merge.Item1 + merge.Item2)], merges);
        var steps = json["pre_tokenizer"]!["pretokenizers"]!.AsArray();
        for (int i = 1; i < patterns.Length; i++)
        {
            var split = steps[0]!.DeepClone();
            split["pattern"]!["Regex"] = patterns[i];
            steps.Insert(i, split);
        }
        return json;
    }

    private static void Compare(JsonObject json, IEnumerable<string> texts)
    {
        using var files = new TestFiles();
        Compare(files.Text("tokenizer.json", json.ToJsonString()), texts);
    }

    private static void Compare(string file, IEnumerable<string> texts)
    {
        var (ours, rust) = (Alone(file), RustTokenizer.Load(file));
        foreach (string text in texts)
        {
            int[] ids = ours.Encode(text), expected = rust.Encode(text);
            Assert.True(expected.AsSpan().SequenceEqual(ids), $"{text}: {string.Join(' ', ids)}, by the Rust library {string.Join(' ', expected)}");
            Assert.Equal(rust.Decode(expected), ours.Decode(ids));
        }
    }

    // tokenizer.json alone, as the oracle reads it.
    private static Tokenizer Alone(string file)
    {
        using var files = new TestFiles();
        File.Copy(file, files.PathOf("tokenizer.json"));
        return Tokenizer.Load(files.Folder);
    }
}
