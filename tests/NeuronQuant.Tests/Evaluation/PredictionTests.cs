using NeuronQuant.Evaluation;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>Perplexity and divergence, on models whose logits are known.</summary>
public class PredictionTests
{
    [Theory]
    [InlineData(100, 10, 4)]
    [InlineData(100, 10, 9)]
    [InlineData(7, 10, 5)]
    [InlineData(10, 10, 5)]
    [InlineData(11, 10, 5)]
    [InlineData(2, 2, 1)]
    public void EveryIdButTheFirstIsPredictedOnce(int ids, int window, int stride)
    {
        var predicted = new List<int>();
        foreach (var (start, end, first) in SlidingWindows.Over(ids, window, stride))
        {
            Assert.InRange(end - start, 1, window);
            Assert.True(first == 1 || first - start >= window - stride, $"{first - start} ids of context");
            predicted.AddRange(Enumerable.Range(first, end - first));
        }
        Assert.Equal(Enumerable.Range(1, ids - 1), predicted);
    }

    [Fact]
    public void AUniformModelHasThePerplexityOfItsVocabulary()
    {
        var result = Perplexity.Measure(new LogitsModel((_, _) => 3), "abcdefghij", window: 4);
        Assert.Equal(10, result.Tokens);
        Assert.Equal(LogitsModel.Vocabulary, result.Value, 1e-9 * LogitsModel.Vocabulary);
        Assert.Equal(7, result.BitsPerByte, 1e-9); // 128 tokens are 7 bits
        Assert.Contains("nats per token", result.ToString(), StringComparison.Ordinal);
        Assert.Equal(1, result.ToDataFrame().Rows.Count);
    }

    [Theory]
    [InlineData(5, 2)]
    [InlineData(6, 5)]
    [InlineData(100, 50)]
    public void AModelOfPairsDoesNotSeeTheWindow(int window, int stride)
    {
        // Its logits depend on the last id only, so every window must give the same: log(127 + e^5) - 5 where the next id is one more.
        var result = Perplexity.Measure(new LogitsModel((last, next) => next == last + 1 ? 5 : 0), "abcdefghij", window, stride);
        double right = Math.Log(127 + Math.Exp(5)) - 5;
        Assert.Equal((right * 9) + Math.Log(127 + Math.Exp(5)), result.Nats, 1e-5); // the first letter does not follow the begin id
    }

    [Fact]
    public void DivergenceInClosedForm()
    {
        // P has e^1 on id 0, Q is uniform over four: KL = sum p log p + log 4.
        float[] p = [1, 0, 0, 0], q = [2, 2, 2, 2];
        double z = Math.E + 3;
        Assert.Equal((Math.E / z * 1) - Math.Log(z) + Math.Log(4), Divergence.Between(p, q), 1e-6);
        Assert.Equal(0, Divergence.Between(p, p), 1e-12);
        Assert.Equal(Math.Log(2), Divergence.Between([0, float.NegativeInfinity], [0, 0]), 1e-12);
    }

    [Fact]
    public void DivergenceOfTwoModels()
    {
        var reference = new LogitsModel((last, next) => next == last + 1 ? 5 : 0);
        var model = new LogitsModel((last, next) => next == last + 1 ? (last == 'c' ? 4 : 5) : 0);
        var result = Divergence.Measure(reference, model, "abcdefghij", window: 4, stride: 2);
        Assert.Equal(10, result.Values.Count);
        Assert.Single(result.Values, value => value > 1e-9);
        Assert.Equal(result.Max / 10, result.Mean, 1e-9);
        Assert.Equal(1.0, result.SameTopShare);
        Assert.Equal(0, result.Quantile(0.5), 1e-9);
        Assert.Contains("same top token 100.0 %", result.ToString(), StringComparison.Ordinal);
        Assert.Throws<EvaluationException>(() => Divergence.Measure(reference, model, ""));
    }

    /// <summary>Ids are characters after a 0; logits are a function of the last id and the next.</summary>
    private sealed class LogitsModel(Func<int, int, float> logit) : ILogitsModel
    {
        public const int Vocabulary = 128;

        public string Name => "pairs";

        public int MaxContext => 64;

        public int VocabularySize => Vocabulary;

        public int[] Encode(string text) => [0, .. text.Select(c => (int)c)];

        public void Logits(ReadOnlySpan<int> ids, int from, Span<float> logits)
        {
            Assert.Equal((ids.Length - from) * Vocabulary, logits.Length);
            for (int i = from; i < ids.Length; i++)
                for (int next = 0; next < Vocabulary; next++)
                    logits[((i - from) * Vocabulary) + next] = logit(ids[i], next);
        }
    }
}
