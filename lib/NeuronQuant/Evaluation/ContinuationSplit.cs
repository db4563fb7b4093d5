namespace NeuronQuant.Evaluation;

/// <summary>Which tokens belong to a context and which to its continuation.</summary>
/// <remarks>
/// The rule of lm-evaluation-harness (lm_eval/api/model.py, _encode_pair): white space at the context's end moves to the continuation; both
/// are encoded together, since a token may reach over the seam; the first tokens, as many as the context has when encoded alone, are the
/// context. Encoding the two apart would score tokens that the model never sees in running text.
/// </remarks>
public static class ContinuationSplit
{
    /// <summary>The ids of the whole, and how many of them are context.</summary>
    /// <param name="encode">text to ids, with the tokens that begin a text</param>
    /// <param name="request">context and continuation</param>
    public static (int[] Ids, int ContextLength) Encode(Func<string, int[]> encode, Continuation request)
    {
        ArgumentNullException.ThrowIfNull(encode);
        ArgumentNullException.ThrowIfNull(request);
        string context = request.Context.TrimEnd();
        string text = request.Context[context.Length..] + request.Text;
        int[] whole = encode(context + text);
        int length = Math.Min(encode(context).Length, whole.Length - 1);
        if (length < 1)
            throw new EvaluationException(EvaluationFailure.DataInvalid, "continuation", "no token before it", "a context",
                "Give a context, or a tokenizer that begins texts with a token.");
        return (whole, length);
    }
}
