namespace NeuronQuant.Evaluation;

/// <summary>A model whose logits can be read: what perplexity and divergence need. An endpoint does not offer it, the engine does.</summary>
public interface ILogitsModel
{
    /// <summary>Which checkpoint in which format.</summary>
    string Name { get; }

    /// <summary>Tokens a sequence may have.</summary>
    int MaxContext { get; }

    /// <summary>Logits per position.</summary>
    int VocabularySize { get; }

    /// <summary>The ids of a text, with the tokens that begin one.</summary>
    int[] Encode(string text);

    /// <summary>The logits that follow each of the last positions of a sequence.</summary>
    /// <param name="ids">the sequence, at most MaxContext ids</param>
    /// <param name="from">the first position whose logits are wanted</param>
    /// <param name="logits">[ids.Length - from, VocabularySize], row by row</param>
    void Logits(ReadOnlySpan<int> ids, int from, Span<float> logits);
}

/// <summary>Cuts a long text into windows that a model can read.</summary>
/// <remarks>
/// Each window is at most so many ids; the next begins a stride later, and only the positions that no window before has predicted count in
/// it. So every token but the first is predicted exactly once, and, from the second window on, after at least window - stride ids of context.
/// A window without overlap would predict its first tokens from nothing, and the perplexity would measure the window.
/// </remarks>
internal static class SlidingWindows
{
    /// <summary>Start and end of each window, and the first id in it that counts as predicted.</summary>
    public static IEnumerable<(int Start, int End, int FirstPredicted)> Over(int ids, int window, int stride)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(window, 2);
        ArgumentOutOfRangeException.ThrowIfLessThan(stride, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(stride, window);
        int predicted = 1; // The first id has nothing before it.
        for (int start = 0; predicted < ids; start += stride)
        {
            int end = Math.Min(start + window, ids);
            yield return (start, end, predicted);
            predicted = end;
        }
    }

    /// <summary>The logits that predict the ids from FirstPredicted to the window's end: [count, vocabulary].</summary>
    public static float[] Logits(ILogitsModel model, int[] ids, (int Start, int End, int FirstPredicted) window)
    {
        var (start, end, first) = window;
        var logits = new float[(end - first) * (long)model.VocabularySize];
        model.Logits(ids.AsSpan(start, end - 1 - start), first - 1 - start, logits);
        return logits;
    }

    /// <summary>log(sum(exp(x))), without overflow.</summary>
    public static double LogSumExp(ReadOnlySpan<float> logits)
    {
        float largest = float.NegativeInfinity;
        foreach (float logit in logits) largest = Math.Max(largest, logit);
        double sum = 0;
        foreach (float logit in logits) sum += Math.Exp((double)logit - largest);
        return largest + Math.Log(sum);
    }
}
