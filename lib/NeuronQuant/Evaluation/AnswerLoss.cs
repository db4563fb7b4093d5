using NeuronQuant.Models;
using NeuronQuant.Selection;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace NeuronQuant.Evaluation;

/// <summary>What a model thinks of right answers: finer than a score, which only counts what a model would write.</summary>
/// <param name="Loss">mean over the tokens of the answers, in nats per token</param>
/// <param name="Divergence">mean KL(reference || model) at the same positions, in nats per token</param>
public sealed record AnswerLoss(double Loss, double Divergence)
{
    /// <summary>Measures a model against the one that it was made of; for several models <see cref="AnswerReference"/> runs the first once.</summary>
    /// <param name="engine">the reference's tokenizer</param>
    /// <param name="reference">the model in floating point</param>
    /// <param name="model">the quantized one</param>
    /// <param name="items">prompts and right answers in words; a question with choices has none, and does not count</param>
    /// <param name="cancellation">checked before each batch</param>
    /// <returns>null where no question has an answer in words</returns>
    public static AnswerLoss? Measure(
        EngineModel engine, LlamaModel reference, LlamaModel model, IReadOnlyList<EvaluationItem> items, CancellationToken cancellation = default)
    {
        using var answers = new AnswerReference(engine, reference, items, cancellation);
        return answers.Measure(model, cancellation);
    }
}

/// <summary>Right answers as a model in floating point reads them, kept to measure models that were made of it.</summary>
/// <remarks>Of each token of an answer the state behind the last norm is kept, in host memory: 4 bytes times the hidden size. Logits would be some twenty times that.</remarks>
public sealed class AnswerReference : IDisposable
{
    private const int Batch = 20;

    private readonly LlamaModel _reference;
    private readonly Answers[] _batches;

    /// <param name="engine">the reference's tokenizer</param>
    /// <param name="reference">the model in floating point</param>
    /// <param name="items">prompts and right answers in words; a question with choices has none, and does not count</param>
    /// <param name="cancellation">checked before each batch</param>
    public AnswerReference(EngineModel engine, LlamaModel reference, IReadOnlyList<EvaluationItem> items, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(engine);
        ArgumentNullException.ThrowIfNull(reference);
        _reference = reference;
        _batches = [.. items.Where(item => item.Choices.Count == 0).OrderBy(item => item.Prompt.Length + item.Gold.Length).Chunk(Batch)
            .Select(part => new Answers(Texts(engine, part)))];
        try
        {
            ForEach(batch => batch.Reference = Torch.Keep(StatesOf(reference, batch).cpu()), cancellation);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Loss and divergence of a model; null where no question has an answer in words.</summary>
    /// <param name="model">the reference itself, or a model that was made of it</param>
    /// <param name="cancellation">checked before each batch</param>
    public AnswerLoss? Measure(LlamaModel model, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        long tokens = _batches.Sum(batch => (long)batch.Rows.Length);
        if (tokens == 0) return null;
        ForEach(batch =>
        {
            var original = _reference.LogitsOf(batch.Reference!.to(_reference.Place.Device));
            var logits = ReferenceEquals(model, _reference) ? original : model.LogitsOf(StatesOf(model, batch));
            var losses = F.cross_entropy(logits, tensor(batch.Targets).to(logits.device), reduction: nn.Reduction.None);
            batch.Found = (losses.sum(ScalarType.Float64).ToDouble(), LogitsDivergence.Sum(original, logits));
        }, cancellation);
        return new AnswerLoss(_batches.Sum(batch => batch.Found.Loss) / tokens, _batches.Sum(batch => batch.Found.Divergence) / tokens);
    }

    /// <summary>Frees what is kept.</summary>
    public void Dispose()
    {
        foreach (var batch in _batches) batch.Reference?.Dispose();
    }

    private void ForEach(Action<Answers> work, CancellationToken cancellation) => Torch.ForEach(_reference.Config.HiddenSize,
        [.. _batches.Where(batch => batch.Rows.Length > 0)], batch => Torch.Run(() => work(batch)), cancellation);

    private static Tensor StatesOf(LlamaModel model, Answers batch) =>
        model.Hidden(batch.Texts).view(batch.Texts.Rows, -1).index_select(0, tensor(batch.Rows).to(model.Place.Device));

    private static TokenBatch Texts(EngineModel engine, EvaluationItem[] items)
    {
        int[] starts = [.. items.Select(item => engine.Encode(item.Prompt).Length)];
        return TokenBatch.Of([.. items.Select(item => engine.Encode($"{item.Prompt} {item.Gold}"))], counts: (text, position) => position >= starts[text]);
    }

    // Texts, the rows of their answers' tokens, and what is known of them: the reference's states, [rows, hidden], and the last sums.
    private sealed class Answers(TokenBatch texts)
    {
        public TokenBatch Texts { get; } = texts;

        public long[] Rows { get; } = [.. Enumerable.Range(0, texts.Targets.Length).Where(i => texts.Targets[i] != TokenBatch.Ignored).Select(i => (long)i)];

        public long[] Targets => [.. Rows.Select(row => (long)Texts.Targets[row])];

        public Tensor? Reference { get; set; }

        public (double Loss, double Divergence) Found { get; set; }
    }
}
