using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Models;

/// <summary>How likely a model finds the end of a text.</summary>
/// <param name="LogProbabilities">of each scored token, nats, none above 0</param>
/// <param name="IsGreedy">whether each was the likeliest one</param>
public sealed record TextScore(float[] LogProbabilities, bool IsGreedy);

/// <summary>How likely a model finds given texts: for multiple choice, perplexity and distances between models.</summary>
/// <remarks>The log-probability of token i is log softmax(logits at the token before it)[token i], in nats. The head runs on the scored positions alone.</remarks>
public static class Scoring
{
    private const int Tokens = 4096; // Of a batch: enough for wide products, some hundred MB of activations in a large model.

    /// <summary>Scores the ends of texts of any lengths, several at a time.</summary>
    /// <param name="model">the model</param>
    /// <param name="texts">token ids, and how many of them are given and not scored: at least one</param>
    /// <param name="cancellation">checked before each batch</param>
    /// <exception cref="ModelException">nothing is given, or nothing is to be scored, or a token is not of the vocabulary</exception>
    public static IReadOnlyList<TextScore> Of(LlamaModel model, IReadOnlyList<(int[] Ids, int Given)> texts, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(texts);
        foreach (var (ids, given) in texts)
            if (given < 1 || given >= ids.Length)
                throw new ModelException("scoring", $"{given} of {ids.Length} tokens are given, expected at least one, and one to score: start a bare text with the begin token.");
        var scores = new TextScore[texts.Count];
        var order = Enumerable.Range(0, texts.Count).OrderBy(i => texts[i].Ids.Length).ToArray();
        var batches = new List<int[]>();
        for (int first = 0; first < order.Length; first += batches[^1].Length)
        {
            int count = 1;
            while (first + count < order.Length && (count + 1) * texts[order[first + count]].Ids.Length <= Tokens) count++;
            batches.Add(order[first..(first + count)]);
        }
        Torch.ForEach(model.Config.HiddenSize < Torch.Small, batches, some => Torch.Run(() => Batch(model, texts, some, scores)), cancellation);
        return scores;
    }

    private static void Batch(LlamaModel model, IReadOnlyList<(int[] Ids, int Given)> texts, int[] some, TextScore[] scores)
    {
        var batch = TokenBatch.Of([.. some.Select(i => texts[i].Ids[..^1])]);
        var rows = some.SelectMany((i, row) => Enumerable.Range(texts[i].Given, texts[i].Ids.Length - texts[i].Given).Select(at => (Row: (long)row * batch.Length + at - 1, Id: (long)texts[i].Ids[at]))).ToArray();
        if (rows.FirstOrDefault(row => (ulong)row.Id >= (ulong)model.Config.VocabularySize) is { Id: not 0 } wrong)
            throw new ModelException("scoring", $"token {wrong.Id} is outside of the vocabulary of {model.Config.VocabularySize}. Is the tokenizer of another model?");
        var logits = model.LogitsOf(model.Hidden(batch).view(batch.Rows, -1).index_select(0, tensor([.. rows.Select(row => row.Row)]).to(model.Place.Device)));
        var ids = tensor([.. rows.Select(row => row.Id)]).to(model.Place.Device).unsqueeze(1);
        var chosen = logits.gather(1, ids);
        float[] values = (chosen - logits.logsumexp(1, keepdim: true)).ToFloats(), greedy = (chosen >= logits.amax([1], keepdim: true)).to(float32).ToFloats();
        for (int i = 0, first = 0; i < some.Length; i++)
        {
            int count = texts[some[i]].Ids.Length - texts[some[i]].Given;
            scores[some[i]] = new TextScore(values[first..(first + count)], greedy.AsSpan(first, count).IndexOf(0f) < 0);
            first += count;
        }
    }
}
