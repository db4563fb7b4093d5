using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using NeuronQuant.Tokenization;
using Xunit;

namespace NeuronQuant.Tests.Tokenization;

/// <summary>Against Python's unicodedata: digests over all code points, and mixed texts (tests/python/make_nfc.py).</summary>
[Collection("alone")]
public class NfcTests
{
    private static readonly JsonNode Golden = JsonNode.Parse(File.ReadAllText(Repository.PathOf("tests", "NeuronQuant.Tests", "Golden", "nfc.json")))!;

    [Theory]
    [InlineData("each_point", "", "")]
    [InlineData("between", "a", "\u0301\u0323")]
    public void AllCodePoints(string name, string before, string after)
    {
        var texts = Enumerable.Range(0, 0x110000).Where(Rune.IsValid).Select(point => Nfc.Normalize(before + new Rune(point) + after));
        byte[] hash = SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', texts)));
        Assert.Equal((string)Golden[name]!, Convert.ToHexStringLower(hash));
    }

    [Fact]
    public void MixedTexts()
    {
        foreach (var pair in Golden["mixed"]!.AsArray())
        {
            Assert.Equal((string)pair![1]!, Nfc.Normalize((string)pair[0]!));
            Assert.Equal((string)pair[1]!, Nfc.Normalize((string)pair[1]!));
        }
    }

    [Fact]
    public void ALongRunOfMarksIsOrderedQuickly()
    {
        // Class 230 (U+0301) and 220 (U+0323) in turns: the lower class goes first, and "a" takes the first of it (U+1EA1).
        const int pairs = 200_000;
        var watch = Stopwatch.StartNew();
        Assert.Equal("\u1EA1" + new string('\u0323', pairs - 1) + new string('\u0301', pairs),
            Nfc.Normalize("a" + string.Concat(Enumerable.Repeat("\u0301\u0323", pairs))));
        // Insertion would move 2 * 10^10 marks, which is a minute; the bound leaves room for a slow machine.
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 5);
    }

    [Fact]
    public void QwenNormalizesBeforeItSplits()
    {
        var json = TinyTokenizer.ByteLevel(TinyTokenizer.Qwen2, ["Ã©"], [("Ã", "©")], normalizer: """{"type":"NFC"}""");
        Assert.Equal([256], TinyTokenizer.Load(json).Encode("e\u0301"));
    }
}
