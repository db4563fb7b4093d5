using System.Text.Json.Nodes;
using NeuronQuant.Tokenization;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Tokenization;

public class BpeTrainerTests
{
    [Fact]
    public void LearnsTheMergesThatOneCountsByHand()
    {
        // Pieces: "low" once, " low" twice, " lower" once. (l,o) and (o,w) 4 times, of which (l,o) has the smaller id; then (lo,w) 4,
        // (space,low) 3; what is left occurs once.
        using var files = new TestFiles();
        var tokenizer = BpeTrainer.Train(["low low low lower"], 1000, files.Folder);
        Assert.Equal(["lo", "low", "Ġlow"], Enumerable.Range(259, tokenizer.VocabularySize - 259).Select(tokenizer.TokenOf));
        Assert.Equal([0, 260, 261, 3 + 'e', 3 + 'r'], tokenizer.Encode("low lower"));
        Assert.Equal((0, 1, 2), (tokenizer.Roles.Begin, tokenizer.Roles.End, tokenizer.Roles.Pad));
    }

    [Fact]
    public void OneSpellingHasOneId()
    {
        // "abc" comes from (a,bc) and from (ab,c): both ways must lead to one token.
        using var files = new TestFiles();
        var tokenizer = BpeTrainer.Train(Words(), 1000, files.Folder);
        var merges = JsonNode.Parse(File.ReadAllText(files.PathOf("tokenizer.json")))!["model"]!["merges"]!.AsArray();
        Assert.True(merges.Count >= tokenizer.VocabularySize - 259);
        string text = string.Join(' ', Words());
        Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text)));
    }

    [Fact]
    public void DigitsStaySingleAndTheVocabularyHasItsSize()
    {
        using var files = new TestFiles();
        var tokenizer = BpeTrainer.Train(Words().Select(word => word + " 12 12 1212 12."), 300, files.Folder);
        Assert.Equal(300, tokenizer.VocabularySize);
        Assert.All(Enumerable.Range(0, 300).Select(tokenizer.TokenOf), token => Assert.True(token.Length == 1 || !token.Any(char.IsAsciiDigit), token));
        Assert.Equal([3 + '1', 3 + '2'], tokenizer.Encode("12", addSpecial: false));
    }

    [Fact]
    public void TheSameTextsInAnyOrderGiveTheSameFile()
    {
        using var one = new TestFiles();
        using var two = new TestFiles();
        BpeTrainer.Train(Words(), 300, one.Folder);
        BpeTrainer.Train(Words().Reverse(), 300, two.Folder);
        Assert.Equal(File.ReadAllText(one.PathOf("tokenizer.json")), File.ReadAllText(two.PathOf("tokenizer.json")));
    }

    [Fact]
    public void ASizeWithoutRoomForTheBytesIsRefused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => BpeTrainer.Train(["a"], 258, "unused"));

    private static IEnumerable<string> Words()
    {
        var random = new Random(5);
        for (int i = 0; i < 300; i++)
            yield return string.Concat(Enumerable.Range(0, random.Next(2, 9)).Select(_ => (char)('a' + random.Next(3))));
    }
}
