using NeuronQuant.Models;
using NeuronQuant.Selection;
using NeuronQuant.Tensors;
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
        using var answers = new AnswerReference(engine, reference, items);
        return answers.Measure(model, cancellation);
    }
}

/// <summary>Right answers as a model in floating point reads them, kept to measure models that were made of it.</summary>
/// <remarks>
/// Of each token of an answer the state behind the last norm is kept, in host memory: 4 bytes times the hidden size. Logits would be some twenty times that.
/// A model that is graded on the same questions reads the answers as drafts (<see cref="Drafting"/>), so that each question is read once for both.
/// </remarks>
public sealed class AnswerReference : IDisposable
{
    private const int Batch = 20;

    private readonly LlamaModel _reference;
    private readonly Answer[] _answers;

    /// <param name="engine">the reference's tokenizer</param>
    /// <param name="reference">the model in floating point</param>
    /// <param name="items">prompts and right answers in words; a question with choices has none, and neither it nor one that the context does not hold counts</param>
    public AnswerReference(EngineModel engine, LlamaModel reference, IReadOnlyList<EvaluationItem> items)
    {
        ArgumentNullException.ThrowIfNull(engine);
        ArgumentNullException.ThrowIfNull(reference);
        _reference = reference;
        _answers = [.. items.Where(item => item.Choices.Count == 0).Select(item => new Answer(engine, item))
            .Where(answer => answer.Targets.Length > 0 && answer.Tokens.Length <= engine.MaxContext).OrderByDescending(answer => answer.Tokens.Length)];
    }

    /// <summary>An engine that measures its weights on the right answers while it is graded on their questions, and does not write word for word what it would write so
    /// anyway. <see cref="Measure"/> gives what was found.</summary>
    /// <param name="engine">with the weights that are graded; the reference's first, or its answers are read for themselves</param>
    /// <param name="cancellation">checked before each batch</param>
    public EngineModel Drafting(EngineModel engine, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(engine);
        Prepare(engine.Model, cancellation);
        return engine.Drafted(_answers.Select(answer => (EvaluationTask.Hash(answer.Item.Prompt), new Draft($" {answer.Item.Gold}", (states, logits) => Find(engine.Model, answer, states, logits)))));
    }

    /// <summary>Loss and divergence of a model, whose answers are read unless <see cref="Drafting"/> found them; null where no question has an answer in words.</summary>
    /// <param name="model">the reference itself, or a model that was made of it</param>
    /// <param name="cancellation">checked before each batch</param>
    public AnswerLoss? Measure(LlamaModel model, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        Prepare(model, cancellation);
        Read(model, [.. _answers.Where(answer => answer.Found?.Model != model)], (answer, states) => Find(model, answer, states, model.LogitsOf(states)), cancellation);
        double tokens = _answers.Sum(answer => answer.Targets.Length);
        return tokens == 0 ? null : new AnswerLoss(_answers.Sum(answer => answer.Found!.Loss) / tokens, _answers.Sum(answer => answer.Found!.Divergence) / tokens);
    }

    /// <summary>Frees what is kept.</summary>
    public void Dispose()
    {
        foreach (var answer in _answers) answer.Reference?.Dispose();
    }

    // What the reference thinks comes first.
    private void Prepare(LlamaModel model, CancellationToken cancellation)
    {
        if (model != _reference) Read(_reference, [.. _answers.Where(answer => answer.Reference is null)], (answer, states) => answer.Keep(states), cancellation);
    }

    private void Read(LlamaModel model, Answer[] answers, Action<Answer, Tensor> tell, CancellationToken cancellation) =>
        Torch.ForEach(model.Config.HiddenSize < Torch.Small, [.. answers.Chunk(Batch)], part => Torch.Run(() =>
        {
            var hidden = model.Hidden(TokenBatch.Of([.. part.Select(answer => answer.Tokens)]));
            foreach (var (i, answer) in part.Index()) tell(answer, hidden[i].narrow(0, answer.Tokens.Length - answer.Targets.Length - 1, answer.Targets.Length));
        }), cancellation);

    private void Find(LlamaModel model, Answer answer, Tensor states, Tensor logits) => Torch.Run(() =>
    {
        if (model == _reference && answer.Reference is null) answer.Keep(states);
        var original = model == _reference ? logits : _reference.LogitsOf(answer.Reference!.to(_reference.Place.Device));
        var losses = F.cross_entropy(logits, tensor(answer.Targets).to(logits.device), reduction: nn.Reduction.None);
        answer.Found = new Found(model, losses.sum(ScalarType.Float64).ToDouble(), LogitsDivergence.Sum(original, logits));
    });

    // Question and answer, the reference's states at the answer, [tokens, hidden], and the last sums over its tokens.
    private sealed class Answer
    {
        public Answer(EngineModel engine, EvaluationItem item)
        {
            (Item, Tokens) = (item, engine.Encode($"{item.Prompt} {item.Gold}"));
            Targets = [.. Tokens.Skip(engine.Encode(item.Prompt).Length).Select(token => (long)token)];
        }

        public EvaluationItem Item { get; }

        public int[] Tokens { get; }

        public long[] Targets { get; }

        public Tensor? Reference { get; private set; }

        public Found? Found { get; set; }

        public void Keep(Tensor states) => Reference = Torch.Keep(states.cpu().clone());
    }

    private sealed record Found(LlamaModel Model, double Loss, double Divergence);
}
