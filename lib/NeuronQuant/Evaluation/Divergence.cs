using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.Evaluation;

/// <summary>How far a model's predictions are from a reference's, position by position on the same text.</summary>
/// <param name="Reference">the reference model's name</param>
/// <param name="Model">the model's name</param>
/// <param name="Values">Kullback-Leibler divergence at each predicted position, in nats</param>
/// <param name="SameTop">positions at which both find the same token most likely</param>
/// <remarks>
/// KL(P || Q) = sum p (log p - log q) with the reference as P, over the whole vocabulary, in double precision. It sees every change that
/// quantization makes, long before a benchmark moves: a question answered rightly says nothing about how nearly it was not.
/// </remarks>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record Divergence(string Reference, string Model, IReadOnlyList<double> Values, int SameTop)
{
    private readonly double[] _sorted = [.. Values.Order()];

    /// <summary>Mean, in nats.</summary>
    public double Mean => Values.Average();

    /// <summary>Largest, in nats.</summary>
    public double Max => _sorted[^1];

    /// <summary>Share of positions with the same most likely token, 0 to 1.</summary>
    public double SameTopShare => (double)SameTop / Values.Count;

    /// <summary>The value below which a share of the positions lies, in nats; the nearest position's own value.</summary>
    /// <param name="share">0 to 1</param>
    public double Quantile(double share) => _sorted[(int)Math.Round(share * (_sorted.Length - 1))];

    /// <summary>Compares two models on a text.</summary>
    /// <param name="reference">the model to be near to</param>
    /// <param name="model">the model that is measured, with the same tokenizer</param>
    /// <param name="text">the text</param>
    /// <param name="window">ids the models see at once; the smaller context, at most 2048, when null</param>
    /// <param name="stride">by how many ids the window moves; half the window when null</param>
    /// <param name="cancellation">stops between windows</param>
    /// <exception cref="EvaluationException">The text has no token to predict, or the models' vocabularies differ.</exception>
    public static Divergence Measure(ILogitsModel reference, ILogitsModel model, string text, int? window = null, int? stride = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(reference);
        ArgumentNullException.ThrowIfNull(model);
        int size = Math.Min(window ?? 2048, Math.Min(reference.MaxContext, model.MaxContext)), step = stride ?? size / 2;
        int[] ids = reference.Encode(text);
        int vocabulary = reference.VocabularySize;
        if (ids.Length < 2 || model.VocabularySize != vocabulary || !model.Encode(text).AsSpan().SequenceEqual(ids))
            throw new EvaluationException(EvaluationFailure.DataInvalid, $"{reference.Name} and {model.Name}",
                $"{ids.Length} tokens, vocabularies of {vocabulary} and {model.VocabularySize}", "at least 2 tokens, the same for both models",
                "Compare checkpoints of one model on a text of some length.");
        var values = new List<double>();
        int same = 0;
        foreach (var part in SlidingWindows.Over(ids.Length, size, step))
        {
            cancellation.ThrowIfCancellationRequested();
            float[] p = SlidingWindows.Logits(reference, ids, part), q = SlidingWindows.Logits(model, ids, part);
            for (int row = 0; row < p.Length; row += vocabulary)
            {
                values.Add(Between(p.AsSpan(row, vocabulary), q.AsSpan(row, vocabulary)));
                if (IndexOfMax(p.AsSpan(row, vocabulary)) == IndexOfMax(q.AsSpan(row, vocabulary))) same++;
            }
        }
        return new Divergence(reference.Name, model.Name, values, same);
    }

    /// <summary>The divergence of two rows of logits, in nats.</summary>
    public static double Between(ReadOnlySpan<float> reference, ReadOnlySpan<float> model)
    {
        double logP = SlidingWindows.LogSumExp(reference), logQ = SlidingWindows.LogSumExp(model), sum = 0;
        for (int i = 0; i < reference.Length; i++)
        {
            double p = reference[i] - logP;
            if (!double.IsNegativeInfinity(p)) sum += Math.Exp(p) * (p - (model[i] - logQ));
        }
        return Math.Max(0, sum); // Never negative but for rounding.
    }

    /// <summary>One row.</summary>
    public DataFrame ToDataFrame() => new FrameRows($"Divergence of {Model} from {Reference}", "positions", "mean KL, nats", "median", "99 %", "largest",
        new Column("same top token %", "0.0")).Row(Values.Count, Mean, Quantile(0.5), Quantile(0.99), Max, 100 * SameTopShare);

    /// <summary>The table for a notebook.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant(
        $"{Model} from {Reference}: mean KL {Mean:0.######} nats, 99 % below {Quantile(0.99):0.######}, ")
        + FormattableString.Invariant($"same top token {100 * SameTopShare:0.0} % of {Values.Count}");

    private static int IndexOfMax(ReadOnlySpan<float> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
            if (values[i] > values[best]) best = i;
        return best;
    }
}
