using NeuronQuant.Checkpoints;
using NeuronQuant.Evaluation;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using NeuronQuant.Tests.Methods;
using TorchSharp;
using Xunit;
using Continuation = NeuronQuant.Models.Generation;

namespace NeuronQuant.Tests.Models;

/// <summary>A cache that rounds: the cast against the managed codecs, one pass against plain loops, and against decoding a token at a time.</summary>
public class CacheTests
{
    private const double Exact = 1e-9; // Of logits of about 10, in float64 on both sides.

    // Every exponent from below the smallest step to beyond the range, numbers and exact ties, both signs, and zero.
    private static readonly float[] Values = [.. Enumerable.Range(-24, 44).SelectMany(e => Enumerable.Range(0, 65).SelectMany(i =>
        new[] { MathF.ScaleB(1 + (i / 64f), e), -MathF.ScaleB(1 + (i / 64f) + 1e-6f, e) })), 0f];

    [Theory]
    [InlineData(torch.ScalarType.Float32)]
    [InlineData(torch.ScalarType.Float64)]
    public void The_cast_gives_the_numbers_of_the_codecs(torch.ScalarType type)
    {
        Assert.Equal(Array.ConvertAll(Values, x => Float8E4M3.Decode(Float8E4M3.Encode(x))), Round(CastFormat.E4M3, type));
        Assert.Equal(Array.ConvertAll(Values, x => Float8E5M2.Decode(Float8E5M2.Encode(x))), Round(CastFormat.E5M2, type));
        // Up to 240 the two e4m3 agree, and 448 is the largest code of the wider one.
        float[] ocp = Round(CastFormat.E4M3Ocp, type);
        Assert.Equal(448, ocp.Max());
        Assert.All(Values.Zip(ocp), pair => Assert.True(Math.Abs(pair.First) > 240 || Float8E4M3.Decode(Float8E4M3.Encode(pair.First)) == pair.Second));
        Assert.Equal(256f, ocp[Array.IndexOf(Values, 256f)]);
    }

    [Theory]
    [InlineData(ModelFamily.Llama, null)]
    [InlineData(ModelFamily.Qwen2, null)]
    [InlineData(ModelFamily.Qwen3, null)]
    [InlineData(ModelFamily.Llama, 5)] // A sliding window.
    public void One_pass_equals_plain_loops(ModelFamily family, int? window)
    {
        var model = FoldCase.Model(family, false);
        if (window is not null) model = Doubled(TestModels.Random(TestModels.Config(window: window)));
        foreach (var (cache, key, value) in Cases())
        {
            int[] tokens = TestModels.Tokens(17, 3);
            var expected = new ReferenceModel(model) { Stored = (key, value) }.Logits(tokens);
            Assert.InRange(Furthest(expected, Logits(model, tokens, cache)), 0, Exact);
            Assert.InRange(Furthest(expected, Logits(model, tokens, new(null, null))), cache == new CachePrecision(null, null) ? 0 : 1e-3, cache == new CachePrecision(null, null) ? Exact : 100);
        }
    }

    [Fact]
    public void One_pass_equals_decoding_a_token_at_a_time()
    {
        var model = FoldCase.Model(ModelFamily.Qwen2, true);
        int[][] texts = [TestModels.Tokens(14, 3), TestModels.Tokens(14, 4)];
        foreach (var (cache, _, _) in Cases())
            foreach (int prompt in new[] { 1, 6 })
            {
                double[] stepped = Torch.Run(() => Stepped(model, texts, prompt, cache));
                double[] whole = [.. texts.SelectMany(text => Rows(Logits(model, text, cache, prompt), prompt - 1))];
                Assert.InRange(Furthest(whole, stepped), 0, Exact);
            }
    }

    [Fact]
    public void Generation_reads_the_rounded_cache()
    {
        var model = TestModels.Random(TestModels.Config());
        var plain = Continuation.Run(model, [TestModels.Tokens(5, 1)], new GenerationOptions(40))[0];
        var options = new GenerationOptions(40, Cache: CachePrecision.Both(CastFormat.E5M2));
        int[] rounded = Continuation.Run(model, [TestModels.Tokens(5, 1)], options)[0];
        Assert.Equal(plain[0], rounded[0]); // The first new token knows nothing of the cache.
        Assert.NotEqual(plain, rounded);
        Assert.Equal(rounded, Continuation.Run(model, [TestModels.Tokens(9, 7), TestModels.Tokens(5, 1)], options)[1]);
    }

    [Fact]
    public void Loss_by_position_is_the_mean_over_tokens_of_plain_loops()
    {
        var model = Doubled(TestModels.Random(TestModels.Config()));
        int[][] texts = [TestModels.Tokens(40, 1), TestModels.Tokens(21, 2)];
        var cache = CachePrecision.Both(CastFormat.E4M3);
        var study = CacheStudy.Measure(model, texts, [cache]);
        Assert.Equal([15 + 15, 16 + 5, 8], study.Of("e4m3").Select(bucket => bucket.Tokens));
        Func<double, double> stored = x => Float8E4M3.Decode(Float8E4M3.Encode((float)x));
        double[] rounded = Losses(new ReferenceModel(model) { Stored = (stored, stored) }, texts[0]), plain = Losses(new ReferenceModel(model), texts[0]);
        Assert.Equal(rounded[31..].Average(), study.Of("e4m3")[2].Nats, 1e-6);
        Assert.Equal(rounded[31..].Average() - plain[31..].Average(), study.Of("e4m3")[2].Difference, 1e-6);
        Assert.NotEqual(0, study.Difference("e4m3"), 1e-4);
        double[] p = [.. new ReferenceModel(model).Logits(texts[0].AsSpan(0, 39))], q = [.. new ReferenceModel(model) { Stored = (stored, stored) }.Logits(texts[0].AsSpan(0, 39))];
        Assert.Equal(Enumerable.Range(31, 8).Average(t => Divergence(p[(t * 37)..((t + 1) * 37)], q[(t * 37)..((t + 1) * 37)])), study.Of("e4m3")[2].Divergence, 1e-6);
        Assert.Equal(0, study.Divergence("as computed"));
        Assert.Contains("32 to 63", $"{study}", StringComparison.Ordinal);
        Assert.Throws<EvaluationException>(() => CacheStudy.Measure(model, [TestModels.Tokens(300, 1)]));
    }

    [Fact]
    public void An_answer_counts_when_decoding_would_write_it_and_a_prompt_in_one_pass_sees_no_cache()
    {
        var (model, cache) = (TestModels.Random(TestModels.Config()), CachePrecision.Both(CastFormat.E5M2));
        int[] prompt = TestModels.Tokens(20, 1), written = Continuation.Run(model, [prompt], new GenerationOptions(3, Cache: cache))[0];
        RecallDocument[] documents = [new([.. prompt, .. written], 3, 12), new([.. prompt, .. written[..2], (written[2] + 1) % 37], 3, 40), new([.. prompt, written[0]], 1, 100)];
        var (through, onePass) = (CacheRecall.Measure(model, documents, [cache]), CacheRecall.Measure(model, documents, [cache], promptInOnePass: true));
        Assert.Equal([1, 0, 1], onePass.Of("e5m2").Select(bucket => bucket.Right));
        Assert.Equal(["1 to 15", "32 to 63", "64 to 127"], onePass.Of("e5m2").Select(bucket => bucket.Distances));
        Assert.Equal(onePass.Of("as computed")[2].Nats, onePass.Of("e5m2")[2].Nats, 1e-6); // One token: the first.
        Assert.NotEqual(through.Of("as computed")[2].Nats, through.Of("e5m2")[2].Nats, 1e-4);
        double expected = Losses(new ReferenceModel(model), documents[1].Ids)[^3..].Average();
        Assert.Equal(expected, through.Of("as computed")[1].Nats, 1e-4);
        Assert.Throws<EvaluationException>(() => CacheRecall.Measure(model, [new([1], 1, 1)]));
    }

    private static IEnumerable<(CachePrecision, Func<double, double>, Func<double, double>)> Cases()
    {
        Func<double, double> same = x => x, e4m3 = x => Float8E4M3.Decode(Float8E4M3.Encode((float)x)), e5m2 = x => Float8E5M2.Decode(Float8E5M2.Encode((float)x));
        yield return (new(null, null), same, same);
        yield return (CachePrecision.Both(CastFormat.E4M3), e4m3, e4m3);
        yield return (new(CastFormat.E4M3, null), e4m3, same);
        yield return (new(null, CastFormat.E5M2), same, e5m2);
    }

    private static float[] Round(CastFormat format, torch.ScalarType type) => Torch.Run(() => format.Round(torch.tensor(Values).to(type)).ToFloats());

    private static LlamaModel Doubled(LlamaModel single)
    {
        var model = new LlamaModel(single.Config, Placement.Of(torch.ScalarType.Float64));
        foreach (var (target, source) in model.Parameters.Zip(single.Parameters)) target.Set(source.ToArray());
        return model;
    }

    // [length * vocabulary]; the first `prompt` queries read fresh keys.
    private static double[] Logits(LlamaModel model, int[] tokens, CachePrecision cache, int prompt = 0) => Torch.Run(() =>
    {
        var fresh = prompt == 0 ? null : torch.arange(tokens.Length).lt(prompt).view(1, -1, 1);
        return model.LogitsOf(model.Hidden(new TokenBatch(tokens, [], 1), simulated: new Simulation(cache, Fresh: fresh))).data<double>().ToArray();
    });

    private static IEnumerable<double> Rows(double[] logits, int first) => logits.Skip(first * 37);

    // Logits from the end of the prompt on, text by text.
    private static double[] Stepped(LlamaModel model, int[][] texts, int prompt, CachePrecision cache)
    {
        using var kept = new KeyValueCache(model, texts.Length, texts[0].Length, cache);
        var batch = new TokenBatch([.. texts.SelectMany(text => text[..prompt])], [], texts.Length);
        var hidden = model.Through(model.Embed(batch.Tokens).view(texts.Length, prompt, -1), Positions.Of(model.Rotary, prompt, model.Place), kept);
        var steps = new List<torch.Tensor> { hidden.narrow(1, prompt - 1, 1) };
        for (int at = prompt; at < texts[0].Length; at++)
        {
            for (int i = 0; i < texts.Length; i++) kept.Lengths[i] = at;
            steps.Add(model.Through(model.Embed([.. texts.Select(text => text[at])]).unsqueeze(1), kept.Step(), kept));
        }
        return model.LogitsOf(torch.cat(steps, 1)).data<double>().ToArray();
    }

    private static double[] Losses(ReferenceModel model, int[] text)
    {
        double[] logits = model.Logits(text.AsSpan(0, text.Length - 1));
        return [.. Enumerable.Range(0, text.Length - 1).Select(t =>
        {
            double[] row = logits[(t * 37)..((t + 1) * 37)];
            return Math.Log(row.Sum(Math.Exp)) - row[text[t + 1]];
        })];
    }

    private static double Divergence(double[] a, double[] b)
    {
        double[] p = [.. a.Select(z => Math.Exp(z) / a.Sum(Math.Exp))], q = [.. b.Select(z => Math.Exp(z) / b.Sum(Math.Exp))];
        return p.Zip(q, (x, y) => x * Math.Log(x / y)).Sum();
    }

    private static double Furthest(double[] a, double[] b)
    {
        Assert.Equal(a.Length, b.Length);
        return a.Zip(b, (x, y) => Math.Abs(x - y)).Max();
    }
}
