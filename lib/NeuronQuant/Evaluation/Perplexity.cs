using System.Text;
using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.Evaluation;

/// <summary>How well a model predicts a text.</summary>
/// <param name="Model">the model's name</param>
/// <param name="Tokens">tokens predicted: all but the first</param>
/// <param name="Bytes">UTF-8 bytes of the text</param>
/// <param name="Nats">negative log-likelihood of the text, in nats</param>
/// <param name="Window">ids the model sees at most</param>
/// <param name="Stride">by how many ids the window moves</param>
/// <remarks>
/// Nats per token compare checkpoints of one model; between tokenizers only bits per byte can be compared. The windows slide
/// (<see cref="Measure"/>), and a longer window or a shorter stride gives a lower perplexity: the two belong to the number.
/// </remarks>
[TypeFormatterSource(typeof(HtmlFormatterSource), PreferredMimeTypes = ["text/html", "text/plain"])]
public sealed record Perplexity(string Model, int Tokens, int Bytes, double Nats, int Window, int Stride)
{
    /// <summary>Mean negative log-likelihood, in nats per token.</summary>
    public double NatsPerToken => Nats / Tokens;

    /// <summary>e to the power of nats per token.</summary>
    public double Value => Math.Exp(NatsPerToken);

    /// <summary>Bits per byte of the text.</summary>
    public double BitsPerByte => Nats / Math.Log(2) / Bytes;

    /// <summary>Measures a model on a text.</summary>
    /// <param name="model">the model</param>
    /// <param name="text">the text</param>
    /// <param name="window">ids the model sees at once; its context, at most 2048, when null</param>
    /// <param name="stride">by how many ids the window moves; half the window when null</param>
    /// <param name="cancellation">stops between windows</param>
    /// <exception cref="EvaluationException">The text has no token to predict.</exception>
    public static Perplexity Measure(ILogitsModel model, string text, int? window = null, int? stride = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        int size = Math.Min(window ?? 2048, model.MaxContext), step = stride ?? size / 2;
        int[] ids = model.Encode(text);
        if (ids.Length < 2)
            throw new EvaluationException(EvaluationFailure.DataInvalid, model.Name, $"a text of {ids.Length} tokens", "at least 2",
                "Give a longer text.");
        double nats = 0;
        foreach (var part in SlidingWindows.Over(ids.Length, size, step))
        {
            cancellation.ThrowIfCancellationRequested();
            nats += Sum(ids, part.FirstPredicted, SlidingWindows.Logits(model, ids, part), model.VocabularySize);
        }
        return new Perplexity(model.Name, ids.Length - 1, Encoding.UTF8.GetByteCount(text), nats, size, step);
    }

    /// <summary>One row.</summary>
    public DataFrame ToDataFrame() => new FrameRows($"Perplexity: {Model}", "tokens", new Column("nats per token", "0.0000"), new Column("perplexity", "0.000"),
        new Column("bits per byte", "0.0000"), "window", "stride").Row(Tokens, NatsPerToken, Value, BitsPerByte, Window, Stride);

    /// <summary>The table for a notebook.</summary>
    public string ToHtml() => ToDataFrame().ToHtml();

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant(
        $"{Model}: {NatsPerToken:0.0000} nats per token, perplexity {Value:0.000}, {Tokens} tokens, window {Window}, stride {Stride}");

    private static double Sum(int[] ids, int first, float[] logits, int vocabulary)
    {
        double nats = 0;
        for (int i = 0; i < logits.Length / vocabulary; i++)
        {
            var row = logits.AsSpan(i * vocabulary, vocabulary);
            nats += SlidingWindows.LogSumExp(row) - row[ids[first + i]];
        }
        return nats;
    }
}
