using NeuronQuant.Checkpoints;
using NeuronQuant.Evaluation;
using NeuronQuant.Models;
using NeuronQuant.Tokenization;
using NeuronQuant.Tuning;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>The calibration texts that a command asked for: from a file, or by the model itself when none is given. It says which.</summary>
/// <param name="File">a text or .jsonl file; null for texts by the model</param>
/// <param name="Samples">sequences at most</param>
/// <param name="SequenceLength">tokens of a sequence at most; the model's context is the other limit</param>
internal sealed record CalibrationSource(string? File, int Samples, int SequenceLength)
{
    private const ulong Seed = 42;

    /// <summary>What the command calls the file. Not public, so that it is no part of the record's text, which names the settings of a resumed run.</summary>
    internal string Option { get; init; } = "--calibration";

    /// <summary>Token ids of the texts, and where they are from, in words.</summary>
    /// <param name="config">of the model</param>
    /// <param name="model">asked for when the model writes its texts itself</param>
    /// <param name="tokenizer">of the model</param>
    /// <param name="cancellation">stops the writing</param>
    public (IReadOnlyList<int[]> Texts, string Origin) Read(ModelConfig config, Func<LlamaModel> model, Tokenizer tokenizer, CancellationToken cancellation)
    {
        int length = Math.Min(SequenceLength, config.MaxPositionEmbeddings);
        if (File is null)
            return (CalibrationTexts.Generate(model(), tokenizer, Samples, length, Seed, cancellation),
                $"{Samples} texts by the model itself, at temperature 1 from its begin token, seed {Seed}; texts of your own in {Option} are better");
        var texts = CalibrationTexts.Read(File, tokenizer, length).Take(Samples).Select(text => TokenRange.Checked(config, tokenizer, text)).ToArray();
        return (texts, $"{texts.Length} texts of {Path.GetFileName(File)}");
    }

    /// <summary>The texts as sequences of one length: that of the longest text, if it is below the limit. Shorter ones are padded, and the padding does not count.</summary>
    public (CalibrationSet Set, string Origin) ReadSet(ModelConfig config, Func<LlamaModel> model, Tokenizer tokenizer, CancellationToken cancellation)
    {
        var (texts, origin) = Read(config, model, tokenizer, cancellation);
        var set = SetOf(texts, config, tokenizer);
        return (set, FormattableString.Invariant($"{origin} ({set.Count} sequences of {set.Length} tokens, {set.CountedPositions} positions count)"));
    }

    /// <summary>Texts that were read, as sequences of one length.</summary>
    public CalibrationSet SetOf(IReadOnlyList<int[]> texts, ModelConfig config, Tokenizer tokenizer)
    {
        int length = Math.Min(Math.Min(SequenceLength, config.MaxPositionEmbeddings), Math.Max(2, texts.Max(text => text.Length)));
        return CalibrationSet.Of(texts, length, Samples, tokenizer.Roles.Pad ?? tokenizer.Roles.End ?? 0);
    }

    /// <summary>The tokenizer beside a model.</summary>
    public static Tokenizer TokenizerOf(Checkpoint source) => Tokenizer.Load(Path.Combine(Path.GetDirectoryName(source.ConfigPath)!, "tokenizer.json"));
}
