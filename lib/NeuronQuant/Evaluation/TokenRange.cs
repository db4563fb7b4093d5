using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Tokenization;

namespace NeuronQuant.Evaluation;

/// <summary>Holds a tokenizer against the rows of the embedding.</summary>
/// <remarks>
/// Published tokenizers add tokens beyond vocab_size (padding, roles of a chat) that the model never saw: harmless until one occurs in a text. A
/// token of the vocabulary itself beyond it means that tokenizer and weights are of different models.
/// </remarks>
public static class TokenRange
{
    /// <summary>Throws when a token of the vocabulary, not an added one, has no row in the embedding.</summary>
    /// <exception cref="ModelException">names both sizes</exception>
    public static void Check(ModelConfig config, Tokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(tokenizer);
        if (tokenizer.ModelVocabularySize > config.VocabularySize)
            throw new ModelException("embed_tokens",
                $"has {config.VocabularySize} rows, but the tokenizer has {tokenizer.ModelVocabularySize} tokens: they are of different models.");
    }

    /// <summary>The tokens of a text; throws at one that has no row in the embedding.</summary>
    /// <exception cref="ModelException">names the token and its id</exception>
    public static int[] Encode(ModelConfig config, Tokenizer tokenizer, string text)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        return Checked(config, tokenizer, tokenizer.Encode(text));
    }

    /// <summary>The same tokens; throws at one that has no row in the embedding.</summary>
    /// <exception cref="ModelException">names the token and its id</exception>
    public static int[] Checked(ModelConfig config, Tokenizer tokenizer, int[] ids)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(ids);
        int at = Array.FindIndex(ids, id => id >= config.VocabularySize);
        return at < 0 ? ids : throw new ModelException("embed_tokens",
            $"has {config.VocabularySize} rows, but the text holds the added token \"{tokenizer.TokenOf(ids[at])}\" with the id {ids[at]}. "
            + "Leave the token out of the text, or use the model whose embedding was extended by it.");
    }
}
