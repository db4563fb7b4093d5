using System.Runtime.InteropServices;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Models;

/// <summary>How likely a model finds the end of a text.</summary>
/// <param name="LogProbabilities">of each scored token, nats, none above 0</param>
/// <param name="IsGreedy">whether each was the likeliest one</param>
public sealed record TextScore(float[] LogProbabilities, bool IsGreedy);

/// <summary>How likely a model finds given texts: for multiple choice, perplexity and distances between models.</summary>
/// <remarks>
/// The log-probability of token i is log softmax(logits at the token before it)[token i], in nats. The head runs on the scored positions alone. Texts that
/// differ in their last token alone, as the letters of a multiple choice do, are read once.
/// </remarks>
public static class Scoring
{
    private const int Tokens = 4096; // Of a batch: enough for wide products, some hundred MB of activations in a large model.

    private static readonly EqualityComparer<int[]> SameTokens = EqualityComparer<int[]>.Create((a, b) => a.AsSpan().SequenceEqual(b), ids =>
    {
        var hash = new HashCode();
        hash.AddBytes(MemoryMarshal.AsBytes(ids.AsSpan()));
        return hash.ToHashCode();
    });

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
        int[][] read = [.. Enumerable.Range(0, texts.Count).GroupBy(i => texts[i].Ids[..^1], SameTokens).OrderBy(same => same.Key.Length).Select(same => same.ToArray())];
        var batches = new List<int[][]>();
        for (int first = 0; first < read.Length; first += batches[^1].Length)
        {
            int count = 1;
            while (first + count < read.Length && (count + 1) * texts[read[first + count][0]].Ids.Length <= Tokens) count++;
            batches.Add(read[first..(first + count)]);
        }
        Torch.ForEach(model.Config.HiddenSize < Torch.Small, batches, some => Torch.Run(() => Batch(model, texts, some, scores)), cancellation);
        return scores;
    }

    private static void Batch(LlamaModel model, IReadOnlyList<(int[] Ids, int Given)> texts, int[][] some, TextScore[] scores)
    {
        var batch = TokenBatch.Of([.. some.Select(same => texts[same[0]].Ids[..^1])]);
        IEnumerable<(long Row, long Id)> Of((int[] Ids, int Given) text, int row) =>
            Enumerable.Range(text.Given, text.Ids.Length - text.Given).Select(at => ((long)row * batch.Length + at - 1, (long)text.Ids[at]));
        var rows = some.SelectMany((same, row) => same.SelectMany(i => Of(texts[i], row))).ToArray();
        if (rows.FirstOrDefault(row => (ulong)row.Id >= (ulong)model.Config.VocabularySize) is { Id: not 0 } wrong)
            throw new ModelException("scoring", $"token {wrong.Id} is outside of the vocabulary of {model.Config.VocabularySize}. Is the tokenizer of another model?");
        var logits = model.LogitsOf(model.Hidden(batch).view(batch.Rows, -1).index_select(0, tensor([.. rows.Select(row => row.Row)]).to(model.Place.Device)));
        var ids = tensor([.. rows.Select(row => row.Id)]).to(model.Place.Device).unsqueeze(1);
        var chosen = logits.gather(1, ids);
        float[] values = (chosen - logits.logsumexp(1, keepdim: true)).ToFloats(), greedy = (chosen >= logits.amax([1], keepdim: true)).to(float32).ToFloats();
        int first = 0;
        foreach (int i in some.SelectMany(same => same))
        {
            int count = texts[i].Ids.Length - texts[i].Given;
            scores[i] = new TextScore(values[first..(first + count)], greedy.AsSpan(first, count).IndexOf(0f) < 0);
            first += count;
        }
    }
}
