using System.Diagnostics;
using System.Text;
using NeuronQuant.Tokenization;
using Xunit;

namespace NeuronQuant.Tests.Tokenization;

/// <summary>What must hold for any text: round trips, streams that equal whole decoding, merges that equal the plain loop.</summary>
[Collection("alone")]
public class TokenizerPropertyTests
{
    [Fact]
    public void ByteLevelRoundTripsRandomUnicode()
    {
        var tokenizer = TinyTokenizer.Load(TinyTokenizer.ByteLevel(TinyTokenizer.Llama3, ["Ġa", "Ã©"], [("Ġ", "a"), ("Ã", "©")]));
        var random = new Random(1);
        for (int round = 0; round < 300; round++)
        {
            string text = RandomText(random, 40);
            Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text)));
        }
    }

    [Fact]
    public void LlamaRoundTripsRandomUnicode()
    {
        var tokenizer = TinyTokenizer.Load(TinyTokenizer.Llama2(["▁", "a", "▁a"], ["▁ a"]));
        var random = new Random(2);
        for (int round = 0; round < 300; round++)
        {
            string text = RandomText(random, 40).Replace('▁', ' '); // The one character that this family cannot tell from a space.
            Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text)));
        }
    }

    [Fact]
    public void AnUnpairedSurrogateCountsAsTheReplacementCharacter()
    {
        var tokenizer = TinyTokenizer.Load(TinyTokenizer.ByteLevel(TinyTokenizer.Llama3, [], []));
        Assert.Equal([0xEF, 0xBF, 0xBD, 'a'], tokenizer.Encode("\uD800a"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void StreamsEqualWholeDecoding(bool byteLevel)
    {
        var tokenizer = TinyTokenizer.Load(byteLevel
            ? TinyTokenizer.ByteLevel(TinyTokenizer.Llama3, ["Ġa", "Ã©"], [("Ġ", "a"), ("Ã", "©")])
            : TinyTokenizer.Llama2(["▁", "a", "▁a", "b"], ["▁ a"]));
        var random = new Random(3);
        for (int round = 0; round < 200; round++)
        {
            // Half the rounds are ids of a text, half any ids, most of which are not UTF-8.
            int[] ids = round % 2 == 0
                ? tokenizer.Encode(RandomText(random, 15))
                : [.. Enumerable.Range(0, 20).Select(_ => random.Next(tokenizer.VocabularySize))];
            var stream = tokenizer.Stream();
            string told = string.Concat(ids.Select(stream.Add)) + stream.Finish();
            Assert.Equal(tokenizer.Decode(ids), told);
        }
    }

    [Fact]
    public void AStreamHoldsBackHalfACharacter()
    {
        var stream = TinyTokenizer.Load(TinyTokenizer.ByteLevel(TinyTokenizer.Llama3, [], [])).Stream();
        Assert.Equal(["a", "", "é", "b"], new[] { 'a', 0xC3, 0xA9, 'b' }.Select(id => stream.Add(id)));
        Assert.Equal("", stream.Add(0xC3));
        Assert.Equal("\uFFFD", stream.Finish());
    }

    [Fact]
    public void MergingEqualsThePlainLoop()
    {
        var random = new Random(4);
        for (int round = 0; round < 200; round++)
        {
            var merges = RandomMerges(random);
            int[] symbols = [.. Enumerable.Range(0, random.Next(1, 200)).Select(_ => random.Next(4))];
            int[] fast = [.. symbols];
            Assert.Equal(PlainMerge(symbols, merges), fast[..new PairMerger(Table(merges)).Merge(fast)]);
        }
    }

    [Fact]
    public void AVeryLongWordIsNotQuadratic()
    {
        var tokenizer = TinyTokenizer.Load(TinyTokenizer.Llama2(["▁", "a", "aa", "aaaa"], ["a a", "aa aa"]));
        var watch = Stopwatch.StartNew();
        Assert.Equal(1 + 1 + 50_000, tokenizer.Encode(new string('a', 200_000)).Length);
        // The plain loop needs 150,000 passes over it, which is minutes; the bound leaves room for a slow machine.
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 20);
    }

    [Fact]
    public void AMillionDoubledTokensAreQuick()
    {
        // Tokens of 2, 4, 8, ... 64 spaces, whose pairs are all doubled ones.
        string[] tokens = [.. Enumerable.Range(1, 6).Select(power => new string('Ġ', 1 << power))];
        (string, string)[] merges = [.. Enumerable.Range(0, 6).Select(power => (new string('Ġ', 1 << power), new string('Ġ', 1 << power)))];
        var tokenizer = TinyTokenizer.Load(TinyTokenizer.ByteLevel(TinyTokenizer.Llama3, tokens, merges));
        var watch = Stopwatch.StartNew();
        Assert.Equal(Enumerable.Repeat(256 + 5, 1_000_000 / 64), tokenizer.Encode(new string(' ', 1_000_000)));
        // With all doubled pairs in one bucket it takes over 10 s; the bound leaves room for a slow machine.
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 5);
    }

    [Fact]
    public void WordsOfAPieceMergeAsInTheWhole()
    {
        // "a▁" is a merge's product, so a piece is cut before "▁" after b, and not after a.
        string[] tokens = ["▁", "a", "b", "a▁", "▁b", "a▁b", "bb", "▁▁"];
        string[] merges = ["a ▁", "▁ b", "b b", "a▁ b", "▁ ▁"];
        var json = TinyTokenizer.Llama2(tokens, merges);
        var cut = TinyTokenizer.Load(json);
        json["model"]!["ignore_merges"] = true; // Is not cut; no whole piece of these texts is a token.
        var whole = TinyTokenizer.Load(json);
        var random = new Random(6);
        for (int round = 0; round < 300; round++)
        {
            string text = "b" + string.Concat(Enumerable.Range(0, random.Next(3, 60)).Select(_ => "ab é"[random.Next(4)])) + "é";
            Assert.Equal(whole.Encode(text), cut.Encode(text));
        }
    }

    // Rank r makes token 4 + r of two earlier ones.
    private static Dictionary<long, (int Rank, int Merged)> RandomMerges(Random random)
    {
        var merges = new Dictionary<long, (int, int)>();
        for (int rank = 0; rank < 12; rank++)
            merges.TryAdd(PairTable.Key(random.Next(4 + rank), random.Next(4 + rank)), (rank, 4 + rank));
        return merges;
    }

    private static PairTable Table(Dictionary<long, (int Rank, int Merged)> merges)
    {
        var table = new PairTable(merges.Count);
        foreach (var (key, merge) in merges) table.Set((int)(key >> 32), (int)(uint)key, merge.Rank, merge.Merged);
        return table;
    }

    private static int[] PlainMerge(int[] symbols, Dictionary<long, (int Rank, int Merged)> merges)
    {
        var list = symbols.ToList();
        while (true)
        {
            var best = Enumerable.Range(0, Math.Max(0, list.Count - 1))
                .Where(i => merges.ContainsKey(PairTable.Key(list[i], list[i + 1])))
                .Select(i => (merges[PairTable.Key(list[i], list[i + 1])].Rank, Index: i))
                .DefaultIfEmpty((int.MaxValue, -1)).Min();
            if (best.Item2 < 0) return [.. list];
            list[best.Item2] = merges[PairTable.Key(list[best.Item2], list[best.Item2 + 1])].Merged;
            list.RemoveAt(best.Item2 + 1);
        }
    }

    private static string RandomText(Random random, int runes)
    {
        var text = new StringBuilder();
        while (runes-- > 0)
        {
            int value = random.Next(5) switch { 0 => random.Next(0x110000), 1 => random.Next(0x3000), 2 => ' ', _ => 'a' + random.Next(26) };
            if (Rune.IsValid(value)) text.Append(new Rune(value).ToString());
        }
        return text.ToString();
    }
}
