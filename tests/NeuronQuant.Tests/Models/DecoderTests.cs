using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using Xunit;

namespace NeuronQuant.Tests.Models;

/// <summary>Decoding token by token against passes over whole texts.</summary>
public class DecoderTests
{
    [Theory]
    [InlineData(ModelFamily.Llama, null, false)]
    [InlineData(ModelFamily.Qwen2, null, true)]
    [InlineData(ModelFamily.Mistral, 5, true)]
    [InlineData(ModelFamily.Qwen3, null, false)]
    public void Steps_give_the_logits_of_a_whole_pass(ModelFamily family, int? window, bool bf16)
    {
        var model = Make(family, window, bf16);
        int[] tokens = TestModels.Tokens(25, 3);
        float[] whole = model.Logits(new TokenBatch(tokens, [], 1)).ToFloats();
        Torch.Run(() =>
        {
            using var cache = new KeyValueCache(model, 2, 25);
            cache.Lengths[0] = cache.Lengths[1] = 0;
            var rotated = model.Through(model.Embed([.. tokens[..10], .. tokens[..10]]).view(2, 10, -1), Positions.Of(model.Rotary, 10, model.Place), cache);
            AssertNear(whole.AsSpan(9 * 37, 37), model.LogitsOf(rotated)[1, 9].ToFloats());
            for (int t = 10; t < 25; t++)
            {
                cache.Lengths[0] = cache.Lengths[1] = t;
                AssertNear(whole.AsSpan(t * 37, 37), model.LogitsOf(model.Through(model.Embed([tokens[t], tokens[t]]).unsqueeze(1), cache.Step(), cache))[1, 0].ToFloats());
            }
        });
    }

    [Fact]
    public void Texts_decoded_together_are_those_decoded_alone()
    {
        var model = Make(ModelFamily.Llama, null, true);
        int[][] prompts = [.. new[] { 3, 17, 1, 9, 30 }.Select((length, i) => TestModels.Tokens(length, i))];
        foreach (double temperature in new[] { 0, 1.5 })
        {
            var options = new GenerationOptions(20, Temperature: temperature, Seed: 11);
            var together = Generation.Run(model, prompts, options, batch: 3);
            for (int i = 0; i < prompts.Length; i++)
                Assert.Equal(together[i], Generation.Run(model, [prompts[i]], options with { Seed = 11 + (ulong)i })[0]);
        }
    }

    [Theory]
    [InlineData(ModelFamily.Llama, null, false)]
    [InlineData(ModelFamily.Mistral, 5, false)]
    [InlineData(ModelFamily.Mistral, 14, true)]
    [InlineData(ModelFamily.Qwen3, null, true)]
    public void A_rest_behind_a_shared_beginning_gives_the_logits_of_a_whole_pass(ModelFamily family, int? window, bool bf16)
    {
        var model = Make(family, window, bf16);
        int[][] texts = [TestModels.Tokens(25, 3), [.. TestModels.Tokens(25, 3)[..10], .. TestModels.Tokens(15, 4)], [.. TestModels.Tokens(25, 3)[..10], .. TestModels.Tokens(15, 5)]];
        float[][] whole = [.. texts.Select(tokens => model.Logits(new TokenBatch(tokens, [], 1)).ToFloats())];
        Torch.Run(() =>
        {
            using var cache = new KeyValueCache(model, texts.Length, 24);
            model.Through(model.Embed(texts[0][..10]).unsqueeze(0), Positions.Of(model.Rotary, 10, model.Place), cache.Part(0, 1));
            cache.Share(10);
            foreach (var (first, count) in new[] { (0, 1), (1, 2) })
            {
                var rest = model.Through(model.Embed([.. texts[first..(first + count)].SelectMany(tokens => tokens[10..24])]).view(count, 14, -1), Positions.Of(model.Rotary, 14, model.Place, 10), cache.Part(first, count));
                for (int i = 0; i < count; i++)
                    for (int t = 10; t < 24; t++) AssertNear(whole[first + i].AsSpan(t * 37, 37), model.LogitsOf(rest)[i, t - 10].ToFloats());
            }
            Array.Fill(cache.Lengths, 24);
            var last = model.LogitsOf(model.Through(model.Embed([.. texts.Select(tokens => tokens[24])]).unsqueeze(1), cache.Step(), cache));
            for (int i = 0; i < texts.Length; i++) AssertNear(whole[i].AsSpan(24 * 37, 37), last[i, 0].ToFloats());
        });
    }

    [Theory]
    [InlineData(null)]
    [InlineData(40)]
    public void Prompts_with_a_long_common_beginning_are_continued_as_each_alone(int? window)
    {
        var model = Make(window is null ? ModelFamily.Llama : ModelFamily.Mistral, window, false);
        int[][] prompts = [.. new[] { 3, 17, 1, 9, 30 }.Select((rest, i) => (int[])[.. TestModels.Tokens(90, 8), .. TestModels.Tokens(rest, i)])];
        int[][] alone = [.. prompts.Select(prompt => Generation.Run(model, [prompt], new GenerationOptions(20))[0])];
        Assert.Equal(alone, Generation.Run(model, prompts, new GenerationOptions(20)));
        Assert.Equal(alone, Generation.Run(model, prompts, new GenerationOptions(20), batch: 3));
        Assert.Equal(alone, Generation.Run(model, prompts, new GenerationOptions(20, Drafts: [.. alone.Select((ids, i) => i % 2 == 0 ? ids[..12] : [5, .. ids[1..]])])));
        Assert.Equal(alone[..1], Generation.Run(model, [prompts[0], prompts[0]], new GenerationOptions(20)).Distinct(EqualityComparer<int[]>.Create((a, b) => a.AsSpan().SequenceEqual(b), _ => 0)));
    }

    [Fact]
    public void A_text_ends_at_a_stop_token_at_a_callback_at_its_length_and_where_the_row_is_full()
    {
        var model = Make(ModelFamily.Llama, null, true);
        int[] prompt = TestModels.Tokens(4, 1), free = Generate(new GenerationOptions(12))[0];
        Assert.Equal(12, free.Length);
        int stop = free[5], first = Array.IndexOf(free, stop);
        Assert.Equal(free[..first], Generate(new GenerationOptions(12, [stop]))[0]);
        Assert.Equal(free[..3], Generate(new GenerationOptions(12, StopWhen: (_, tokens) => tokens.Count == 3))[0]);
        var narrow = new LlamaModel(model.Config with { MaxPositionEmbeddings = 10 });
        foreach (var (target, source) in narrow.Parameters.Zip(model.Parameters)) target.Set(source.ToArray());
        Assert.Equal(free[..7], Generation.Run(narrow, [prompt], new GenerationOptions(12))[0]); // The seventh token is known, but not fed back.

        IReadOnlyList<int[]> Generate(GenerationOptions options) => Generation.Run(model, [prompt], options);
    }

    [Fact]
    public void Log_probabilities_are_those_of_the_reference()
    {
        var model = Make(ModelFamily.Llama, null, false);
        int[] tokens = TestModels.Tokens(14, 2);
        var reference = new ReferenceModel(model);
        Assert.Equal(reference.Loss(TokenBatch.Of([tokens])), -Scoring.Of(model, [(tokens, 1)])[0].LogProbabilities.Average(), 1e-5);
        double expected = reference.Loss(TokenBatch.Of([tokens], counts: (_, i) => i >= 10));
        Assert.Equal(expected, -Scoring.Of(model, [(tokens, 10), (tokens[..5], 2)])[0].LogProbabilities.Average(), 1e-5);
    }

    // As the letters of a multiple choice do; another text lies between them, and one of them is given less.
    [Fact]
    public void Texts_that_differ_in_their_last_token_alone_share_a_reading_and_each_has_its_own_score()
    {
        var model = Make(ModelFamily.Llama, null, false);
        int[] prompt = TestModels.Tokens(9, 2);
        var texts = Enumerable.Range(0, model.Config.VocabularySize).Select(token => (Ids: (int[])[.. prompt, token], Given: token == 3 ? 4 : 9)).ToList();
        texts.Insert(2, (TestModels.Tokens(10, 5), 2));
        var scores = Scoring.Of(model, texts);
        var last = scores.Where((_, i) => i != 2).Select(score => (double)score.LogProbabilities[^1]).ToArray();
        Assert.Equal(1, last.Sum(Math.Exp), 1e-5);
        Assert.Equal([1, 6, 8], scores.Select(score => score.LogProbabilities.Length).Distinct().Order());
        var greedy = Generation.Run(model, [prompt], new GenerationOptions(1))[0];
        Assert.Equal(greedy[0], Array.IndexOf(last, last.Max()));
        foreach (int i in new[] { 0, 2, 4, 7 })
            Assert.Equal(Scoring.Of(model, [texts[i]])[0].LogProbabilities.Sum(), scores[i].LogProbabilities.Sum(), 1e-4);
        var reversed = Scoring.Of(model, [.. Enumerable.Reverse(texts)]);
        Assert.All(scores.Zip(Enumerable.Reverse(reversed)), pair => Assert.Equal(pair.First.LogProbabilities.Sum(), pair.Second.LogProbabilities.Sum(), 1e-4));
    }

    [Fact]
    public void Misuse_is_named()
    {
        var model = Make(ModelFamily.Llama, null, false);
        Assert.Contains("context", Assert.Throws<ModelException>(() => Generation.Run(model, [[]])).Message);
        Assert.Contains("context", Assert.Throws<ModelException>(() => Generation.Run(model, [new int[257]])).Message);
        Assert.Contains("tokenizer", Assert.Throws<ModelException>(() => Generation.Run(model, [[37]])).Message);
        Assert.Contains("begin token", Assert.Throws<ModelException>(() => Scoring.Of(model, [([1], 0)])).Message);
        Assert.Contains("tokenizer", Assert.Throws<ModelException>(() => Scoring.Of(model, [([1, 37], 1)])).Message);
    }

    internal static LlamaModel Make(ModelFamily family, int? window, bool bf16)
    {
        var model = TestModels.Random(TestModels.Config(family, window: window));
        if (bf16)
            foreach (var parameter in model.Parameters)
                parameter.Set(Array.ConvertAll(parameter.ToArray(), BFloat16.Round));
        return model;
    }

    private static void AssertNear(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 2e-5);
    }
}
