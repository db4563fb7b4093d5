using NeuronQuant.Models;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace NeuronQuant.Evaluation;

/// <summary>What a model thinks of right answers: finer than a score, which only counts what a model would write.</summary>
/// <param name="Loss">mean over the tokens of the answers, in nats per token</param>
/// <param name="Divergence">mean KL(reference || model) at the same positions, in nats per token</param>
public sealed record AnswerLoss(double Loss, double Divergence)
{
    private const int Batch = 20;

    /// <summary>Measures a model against the one that it was made of.</summary>
    /// <param name="engine">the reference and its tokenizer</param>
    /// <param name="reference">the model in floating point</param>
    /// <param name="model">the quantized one</param>
    /// <param name="items">prompts and right answers in words; a question with choices has none, and does not count</param>
    /// <param name="cancellation">checked before each batch</param>
    /// <returns>null where no question has an answer in words</returns>
    public static AnswerLoss? Measure(
        EngineModel engine, LlamaModel reference, LlamaModel model, IReadOnlyList<EvaluationItem> items, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(engine);
        ArgumentNullException.ThrowIfNull(model);
        var written = items.Where(item => item.Choices.Count == 0).ToArray();
        var batches = written.Chunk(Batch).Select(part => Texts(engine, part)).ToArray();
        var sums = new (double Loss, double Divergence, long Tokens)[batches.Length];
        Torch.ForEach(model.Config.HiddenSize, [.. batches.Index()], batch => sums[batch.Index] = Of(reference, model, batch.Item), cancellation);
        long tokens = sums.Sum(sum => sum.Tokens);
        return tokens == 0 ? null : new AnswerLoss(sums.Sum(sum => sum.Loss) / tokens, sums.Sum(sum => sum.Divergence) / tokens);
    }

    private static TokenBatch Texts(EngineModel engine, EvaluationItem[] items)
    {
        int[] starts = [.. items.Select(item => engine.Encode(item.Prompt).Length)];
        return TokenBatch.Of([.. items.Select(item => engine.Encode($"{item.Prompt} {item.Gold}"))], counts: (text, position) =>
            position >= starts[text]);
    }

    private static (double, double, long) Of(LlamaModel reference, LlamaModel model, TokenBatch batch)
    {
        long[] rows = [.. Enumerable.Range(0, batch.Targets.Length).Where(i => batch.Targets[i] != TokenBatch.Ignored).Select(i => (long)i)];
        if (rows.Length == 0) return (0, 0, 0);
        long[] targets = [.. rows.Select(row => (long)batch.Targets[row])];
        double[] found = Torch.Run(() =>
        {
            Tensor Logs(LlamaModel of) => F.log_softmax(
                of.LogitsOf(of.Hidden(batch).view(batch.Rows, -1).index_select(0,
                    tensor(rows).to(of.Place.Device))).cpu().to(ScalarType.Float64), -1);
            Tensor p = Logs(reference), q = Logs(model);
            return new[] { -q.gather(1, tensor(targets).unsqueeze(1)).sum().item<double>(), (p.exp() * (p - q)).sum().item<double>() };
        });
        return (found[0], found[1], rows.Length);
    }
}
