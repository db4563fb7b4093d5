using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using Xunit;

namespace NeuronQuant.Tests.Models;

/// <summary>Drafts save steps and change nothing: against the same prompts without any.</summary>
public class DraftTests
{
    private static readonly int[][] Prompts = [.. new[] { 3, 17, 1, 9, 30, 4, 5 }.Select((length, i) => TestModels.Tokens(length, i))];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Any_draft_leaves_the_text_as_it_is(bool stops)
    {
        using var model = DecoderTests.Make(ModelFamily.Llama, null, true);
        var options = new GenerationOptions(20);
        var free = Generation.Run(model, Prompts, options);
        if (stops) options = options with { StopTokens = [free[0][7], free[4][11]], StopWhen = (text, tokens) => text == 2 && tokens.Count == 5 };
        var plain = Generation.Run(model, Prompts, options);
        int[][][] drafts =
        [
            [.. free], [.. Prompts.Select((_, i) => TestModels.Tokens(25, 50 + i))], [.. free.Select((text, i) => text[..(3 * i)])],
            [.. free.Select((text, i) => (int[])[.. text[..(2 * i)], (text[2 * i] + 1) % 37, .. text[(2 * i)..]])], [.. free.Select(text => (int[])[.. text, .. text])],
        ];
        foreach (int[][] draft in drafts) Assert.Equal(plain, Generation.Run(model, Prompts, options with { Drafts = draft }));
        Assert.Equal(plain, Generation.Run(model, Prompts, options with { Drafts = drafts[3] }, batch: 2));
    }

    [Fact]
    public void What_is_told_of_a_draft_is_a_whole_pass_over_it()
    {
        using var model = DecoderTests.Make(ModelFamily.Llama, null, false);
        int[][] drafts = [.. Prompts.Select((_, i) => TestModels.Tokens(i + 1, 50 + i))];
        var told = new float[Prompts.Length][];
        Generation.Run(model, Prompts, new GenerationOptions(3, Drafts: drafts, Reads: (text, states, logits) =>
        {
            Assert.Equal([drafts[text].Length, model.Config.HiddenSize], states.shape);
            told[text] = logits.ToFloats();
        }));
        for (int i = 0; i < Prompts.Length; i++)
        {
            using var whole = model.Logits(new TokenBatch([.. Prompts[i], .. drafts[i]], [], 1));
            float[] expected = whole[0].narrow(0, Prompts[i].Length - 1, drafts[i].Length).ToFloats();
            Assert.All(told[i].Zip(expected), pair => Assert.Equal(pair.Second, pair.First, 1e-4));
        }
    }

    // The context has room for 35 tokens: a draft is cut there, and a text ends there with it as without.
    [Fact]
    public void A_draft_does_not_reach_beyond_the_context()
    {
        using var model = DecoderTests.Make(ModelFamily.Llama, null, true);
        using var narrow = new LlamaModel(model.Config with { MaxPositionEmbeddings = 35 });
        foreach (var (target, source) in narrow.Parameters.Zip(model.Parameters)) target.Set(source.ToArray());
        var plain = Generation.Run(narrow, Prompts, new GenerationOptions(20));
        Assert.Equal(plain, Generation.Run(narrow, Prompts, new GenerationOptions(20, Drafts: [.. plain.Select(text => (int[])[.. text, .. text])])));
    }

    // A rounding cache reads each new key as it was computed and older ones rounded, and a draw takes its own course: both go step by step.
    [Fact]
    public void Drafts_are_passed_over_where_tokens_are_drawn_or_the_cache_rounds()
    {
        using var model = DecoderTests.Make(ModelFamily.Llama, null, true);
        foreach (var options in new[] { new GenerationOptions(20, Temperature: 1.5, Seed: 3), new GenerationOptions(20, Cache: CachePrecision.Both(CastFormat.E4M3)) })
        {
            var plain = Generation.Run(model, Prompts, options);
            Assert.Equal(plain, Generation.Run(model, Prompts, options with { Drafts = [.. plain], Reads = (_, _, _) => Assert.Fail("nothing is read") }));
        }
    }
}
