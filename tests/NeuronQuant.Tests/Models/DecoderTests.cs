using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using Xunit;

namespace NeuronQuant.Tests.Models;

/// <summary>Decoding token by token against passes over whole texts.</summary>
public class DecoderTests
{
    [Theory]
    [InlineData(ModelFamily.Llama, null, false)]
    [InlineData(ModelFamily.Qwen2, null, true)]
    [InlineData(ModelFamily.Mistral, 5, true)]
    public void Steps_give_the_logits_of_a_whole_pass(ModelFamily family, int? window, bool bf16)
    {
        var model = Make(family, window, bf16);
        int[] tokens = TestModels.Tokens(25, 3);
        float[] whole = new ModelPass(model).Logits(new TokenBatch(tokens, [], 1));
        var decoder = new Decoder(model, capacity: 25);
        Assert.Equal(bf16, decoder.ReadsBf16);
        AssertNear(whole.AsSpan(9 * 37, 37), decoder.Prefill(0, tokens.AsSpan(0, 10)));
        for (int t = 10; t < 25; t++) AssertNear(whole.AsSpan(t * 37, 37), decoder.Step([tokens[t]]));
    }

    [Fact]
    public void Texts_decoded_together_are_those_decoded_alone()
    {
        var model = Make(ModelFamily.Llama, null, true);
        int[][] prompts = [.. new[] { 3, 17, 1, 9, 30 }.Select((length, i) => TestModels.Tokens(length, i))];
        foreach (double temperature in new[] { 0, 1.5 })
        {
            var options = new GenerationOptions(20, Temperature: temperature, Seed: 11);
            var together = Generation.Run(new Decoder(model, 3, 64), prompts, options);
            for (int i = 0; i < prompts.Length; i++)
                Assert.Equal(together[i], Generation.Run(new Decoder(model, 1, 64), [prompts[i]], options with { Seed = 11 + (ulong)i })[0]);
        }
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
        Assert.Equal(free[..7], Generate(new GenerationOptions(12), capacity: 10)[0]); // The seventh token is known, but not fed back.

        IReadOnlyList<int[]> Generate(GenerationOptions options, int capacity = 40) => Generation.Run(new Decoder(model, 2, capacity), [prompt], options);
    }

    [Fact]
    public void A_step_allocates_nothing()
    {
        var decoder = new Decoder(Make(ModelFamily.Llama, null, true), 2, 600);
        decoder.Prefill(0, [1, 2, 3]);
        decoder.Prefill(1, [4]);
        int[] tokens = [5, 6];
        for (int i = 0; i < 200; i++) decoder.Step(tokens);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 200; i++) decoder.Step(tokens);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void Log_probabilities_are_those_of_the_reference()
    {
        var model = Make(ModelFamily.Llama, null, false);
        int[] tokens = TestModels.Tokens(14, 2);
        var reference = new ReferenceModel(model);
        var pass = new ModelPass(model);
        Assert.Equal(reference.Loss(TokenBatch.Of([tokens])), Scoring.MeanNegativeLogLikelihood(pass, tokens), 1e-5);
        double expected = reference.Loss(TokenBatch.Of([tokens], counts: (_, i) => i >= 10));
        Assert.Equal(expected, -Scoring.LogProbabilities(pass, tokens.AsSpan(0, 10), tokens.AsSpan(10)).Average(), 1e-5);
    }

    [Fact]
    public void Misuse_is_named()
    {
        var decoder = new Decoder(Make(ModelFamily.Llama, null, false), 1, 4);
        Assert.Contains("prefill", Assert.Throws<ModelException>(() => decoder.Step([1])).Message);
        Assert.Contains("capacity", Assert.Throws<ModelException>(() => decoder.Prefill(0, [1, 2, 3, 4, 5])).Message);
        Assert.Contains("tokenizer", Assert.Throws<ModelException>(() => decoder.Prefill(0, [37])).Message);
    }

    private static LlamaModel Make(ModelFamily family, int? window, bool bf16)
    {
        var model = TestModels.Random(TestModels.Config(family, window: window));
        if (bf16)
            foreach (var parameter in model.Parameters)
                for (int i = 0; i < parameter.Values.Length; i++) parameter.Values[i] = BFloat16.Round(parameter.Values[i]);
        return model;
    }

    private static void AssertNear(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 2e-5);
    }
}
