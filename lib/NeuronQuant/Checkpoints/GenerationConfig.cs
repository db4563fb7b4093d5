using System.Collections.Immutable;

namespace NeuronQuant.Checkpoints;

/// <summary>What generation_config.json beside config.json adds: more tokens that end a text.</summary>
/// <remarks>
/// A chat model's config.json often names the end of a document only, and generation_config.json the end of a turn as well, as a number or a
/// list; a generator that knows one of the two writes on past its answer. Both count here. Left out: all of sampling, as decoding is greedy
/// or drawn with the caller's own temperature, and the chat template, which names tokens but says nothing of where a text ends.
/// </remarks>
internal static class GenerationConfig
{
    private const long Largest = 16_000_000; // Bytes; real ones have a few hundred.

    /// <summary>config.json's end tokens, and after them those that only generation_config.json has.</summary>
    /// <param name="configPath">config.json; the other file is looked for beside it</param>
    /// <param name="own">eos_token_id of config.json</param>
    /// <exception cref="CheckpointException">The file is there and cannot be read, or its eos_token_id is no number and no list.</exception>
    public static ImmutableArray<int> EndTokens(string configPath, IReadOnlyList<int> own)
    {
        string path = Path.Combine(Path.GetDirectoryName(configPath) ?? "", "generation_config.json");
        if (!File.Exists(path)) return [.. own];
        using var document = JsonFile.Read(path, Largest, CheckpointFailure.ConfigNotFound, CheckpointFailure.ConfigNotJson);
        return [.. own.Union(new ConfigFields(path, document.RootElement).OptionalIntegers("eos_token_id"))];
    }
}
