namespace NeuronQuant.Tokenization;

/// <summary>Every way in which a tokenizer can fail; one member for one cause.</summary>
public enum TokenizerFailure
{
    /// <summary>There is no tokenizer.json at the path.</summary>
    NotFound,

    /// <summary>The operating system refused to read or write.</summary>
    ReadFailed,

    /// <summary>The file is not JSON, repeats a name, is nested too deeply or is too large.</summary>
    NotJson,

    /// <summary>A field is missing or has another JSON type than the format's.</summary>
    WrongStructure,

    /// <summary>The file uses a component, a type or an option that this library does not know.</summary>
    Unsupported,

    /// <summary>The vocabulary has no token.</summary>
    VocabularyEmpty,

    /// <summary>An id is negative or absurdly large.</summary>
    IdOutOfRange,

    /// <summary>Two tokens have the same id, or one token has two.</summary>
    DuplicateId,

    /// <summary>A merge names a token that is not in the vocabulary, or makes one that is not.</summary>
    MergeUnknown,

    /// <summary>A component names a token that is not in the vocabulary.</summary>
    TokenUnknown,

    /// <summary>A byte fallback lacks one of its 256 tokens.</summary>
    ByteMissing,

    /// <summary>A regular expression cannot be parsed, or takes too long on a text.</summary>
    Pattern,

    /// <summary>A character has no token, and the tokenizer has neither a byte fallback nor an unknown token.</summary>
    CharacterUnknown,

    /// <summary>An id to decode is not in the vocabulary.</summary>
    IdUnknown,
}

/// <summary>A tokenizer that cannot be read, or a text or id that it cannot handle: where, what was found and expected, what to do.</summary>
/// <remarks>One exception for the whole room; <see cref="Failure"/> tells the causes apart. Text of the file is clipped in messages.</remarks>
public sealed class TokenizerException : IOException
{
    private const int LongestQuote = 120; // Longer than any real token; a hostile file may hold a name of many megabytes.

    internal TokenizerException(TokenizerFailure failure, string file, string component, string found, string expected, string remedy,
        Exception? inner = null)
        : base($"{file}, {component}: found {found}, expected {expected}. {remedy}", inner)
    {
        (Failure, File, Component) = (failure, file, component);
    }

    /// <summary>The cause.</summary>
    public TokenizerFailure Failure { get; }

    /// <summary>The tokenizer's file.</summary>
    public string File { get; }

    /// <summary>The part of the file at fault, such as "model.merges[12]" or "pre_tokenizer".</summary>
    public string Component { get; }

    /// <summary>Foreign text in quotes, clipped, with control characters made visible.</summary>
    internal static string Quote(string text)
    {
        string clipped = text.Length <= LongestQuote ? text : text[..LongestQuote] + "...";
        return $"\"{string.Concat(clipped.Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '?' : c))}\"";
    }
}
