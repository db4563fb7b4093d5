namespace NeuronQuant.Tokenization;

/// <summary>Which tokens begin, end and pad a text, by tokenizer_config.json beside tokenizer.json.</summary>
/// <param name="Begin">the id of bos_token; null when there is none</param>
/// <param name="End">the id of eos_token</param>
/// <param name="Pad">the id of pad_token</param>
/// <remarks>
/// A role is a name only: whether a begin token is put before a text is the post-processor's business. Which tokens end a generated text is
/// said by config.json and generation_config.json.
/// </remarks>
public sealed record TokenizerRoles(int? Begin, int? End, int? Pad);
